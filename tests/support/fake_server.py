"""The server of `vagus_server.app`, less the engine: `python -m support.fake_server --help`.

Says its address on the first line; then answers each line on its input with what it holds, as
JSON, until its input ends.
"""

import argparse
import asyncio
import gc
import json
import sys
from typing import Any

import psutil
from prometheus_client import CollectorRegistry

from support.fake_engine import FakeEngine
from support.small_pack import small_pack
from vagus_server.grpc_server import SERVICE_NAMES, build_server
from vagus_server.health import Health
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.calls import Calls
from vagus_server.services.served import Limits, Served
from vagus_server.telemetry.logs import configure_logging


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--step-seconds", type=float, default=0.0)
    parser.add_argument("--max-requests", type=int, default=1024)
    parser.add_argument("--max-model-len", type=int, default=256)
    parser.add_argument("--slow-reader", type=float, default=60.0)
    parser.add_argument("--keepalive-seconds", type=float, default=30.0)
    parser.add_argument("--with-vllm", action="store_true", help="checks structures with vLLM")
    return parser.parse_args()


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


async def serve(options: argparse.Namespace) -> None:
    if options.with_vllm:
        import vllm.v1.engine.exceptions  # noqa: F401
    pack = small_pack()
    engine: Any = await asyncio.to_thread(
        lambda: FakeEngine(
            pack,
            max_model_len=options.max_model_len,
            max_running=options.max_requests,
            step_seconds=options.step_seconds,
        )
    )
    prometheus = CollectorRegistry()
    metrics = Metrics(pack, pack.names, "fake", engine.plugin.slots - 1, registry=prometheus)
    limits = Limits(max_requests=options.max_requests, slow_reader_seconds=options.slow_reader)
    served = Served("fake", engine, metrics, limits, engine.registry)
    health, calls = Health(SERVICE_NAMES), Calls()
    metrics.watch_flow(served.admission, health)
    await health.start()
    server = build_server(served, calls, health, options.keepalive_seconds)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await health.alive(True)
    await health.ready(True)
    print(f"127.0.0.1:{port}", flush=True)  # noqa: T201
    lines, process = await _lines(), psutil.Process()
    while await lines.readline():
        gc.collect()
        held = {
            "tasks": len(asyncio.all_tasks()),
            "file_descriptors": process.num_fds(),
            "threads": process.num_threads(),
            "rss_mib": round(process.memory_info().rss / 2**20, 1),
            "cpu_seconds": round(sum(process.cpu_times()[:2]), 2),
            "sinks": len(engine.sinks),
            "in_engine": len(engine._requests),
            "calls": len(calls),
            "queued": served.admission.waiting,
        }
        print(json.dumps(held), flush=True)  # noqa: T201
    await server.stop(1)


if __name__ == "__main__":
    configure_logging("text", verbose=False)
    asyncio.run(serve(_arguments()))
