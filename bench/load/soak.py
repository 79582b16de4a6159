"""Many short requests of every kind: what stays behind, and whether latency creeps."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle
from pathlib import Path
from random import Random
from typing import Any

import grpc
import numpy as np

from bench.load.engine_server import EngineServer
from bench.load.soak_messages import Messages, for_fake_engine, for_real_engine
from support.fake_server_process import FakeServerProcess

_PARTS = 40
_WARM_UP = 500
_SERVICE = "/vagus.v1.GenerationService/"


class _Requests:
    """Makes good requests, each to its end or until it is cancelled."""

    def __init__(self, target: str, messages: Messages, random: Random) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channels = [grpc.aio.insecure_channel(target, options) for _ in range(4)]
        self._messages = messages
        self._random = random
        self.kinds: list[tuple[str, Callable[[grpc.aio.Channel], Awaitable[None]]]] = [
            ("Generate", self.generate),
            ("StreamGenerate", self.stream),
            ("StreamGenerate, cancelled", self.cancelled),
            ("ReadText", self.read),
            ("Converse", self.converse),
        ]
        self.counts: dict[str, int] = {}

    async def generate(self, channel: grpc.aio.Channel) -> None:
        message = self._random.choice(self._messages.generate)
        call: Any = channel.unary_unary(f"{_SERVICE}Generate")
        await call(message)

    async def stream(self, channel: grpc.aio.Channel) -> None:
        call: Any = channel.unary_stream(f"{_SERVICE}StreamGenerate")
        async for _ in call(self._random.choice(self._messages.generate)):
            pass

    async def cancelled(self, channel: grpc.aio.Channel) -> None:
        method: Any = channel.unary_stream(f"{_SERVICE}StreamGenerate")
        call = method(self._messages.cancelled)
        await call.read()
        call.cancel()

    async def read(self, channel: grpc.aio.Channel) -> None:
        call: Any = channel.unary_unary("/vagus.v1.ReadoutService/ReadText")
        await call(self._messages.read)

    async def converse(self, channel: grpc.aio.Channel) -> None:
        method: Any = channel.stream_stream(f"{_SERVICE}Converse")
        async for _ in method(iter(self._messages.conversation)):
            pass

    async def run(self, count: int, concurrency: int) -> list[float]:
        """Makes so many requests; returns how many seconds each took."""
        left, taken = iter(range(count)), list[float]()
        kinds = cycle(self.kinds)

        async def work(channel: grpc.aio.Channel) -> None:
            for _ in left:
                name, make = next(kinds)
                start = time.perf_counter()
                try:
                    await make(channel)
                except grpc.aio.AioRpcError as error:
                    name = f"{name}: {error.code().name}"
                taken.append(time.perf_counter() - start)
                self.counts[name] = self.counts.get(name, 0) + 1

        channels = cycle(self._channels)
        await asyncio.gather(*(work(next(channels)) for _ in range(concurrency)))
        return taken

    async def close(self) -> None:
        """Closes the connections."""
        for channel in self._channels:
            await channel.close()


def run(requests: int, concurrency: int, engine: bool, seed: int) -> dict[str, Any]:
    """Quantiles of the whole call in milliseconds, and what the server held, over time.

    With `engine` it is the whole server with the bundled model; else one without a model.
    """
    return asyncio.run(_run(requests, concurrency, engine, seed))


async def _run(requests: int, concurrency: int, engine: bool, seed: int) -> dict[str, Any]:
    samples: list[dict[str, Any]] = []
    start, done = time.monotonic(), _WARM_UP
    messages = for_real_engine() if engine else for_fake_engine()
    with EngineServer() if engine else FakeServerProcess() as server:
        maker = _Requests(server.target, messages, Random(seed))
        await maker.run(_WARM_UP, concurrency)
        before = await asyncio.to_thread(server.held)
        for _ in range(_PARTS):
            began = time.monotonic()
            taken = await maker.run(requests // _PARTS, concurrency)
            p50, p99 = np.percentile(np.array(taken) * 1e3, [50, 99]).tolist()
            done += len(taken)
            per_second = round(len(taken) / (time.monotonic() - began))
            sample = {"requests": done, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
            held = await asyncio.to_thread(server.held)
            samples.append(sample | {"per_second": per_second} | held)
            print(samples[-1], file=sys.stderr, flush=True)
        await asyncio.sleep(2)
        after = await asyncio.to_thread(server.held)
        await maker.close()
        log = list(server.log)
    return {
        "by_kind": maker.counts,
        "before": before,
        "after": after,
        "log_lines": len(log),
        "seconds": round(time.monotonic() - start),
        "samples": samples,
    }


def draw(result: dict[str, Any], picture: Path) -> None:
    """Latency and memory against requests."""
    from matplotlib.figure import Figure

    samples = result["samples"]
    thousands = [s["requests"] / 1000 for s in samples]
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    latency, memory = figure.subplots(1, 2)
    latency.plot(thousands, [s["p99_ms"] for s in samples], color="#c44e52", label="p99")
    latency.plot(thousands, [s["p50_ms"] for s in samples], color="#4c72b0", label="p50")
    latency.set(xlabel="thousand requests", ylabel="whole call, ms", ylim=(0, None))
    latency.legend(frameon=False)
    held = [s["rss_mib"] for s in samples]
    memory.plot(thousands, held, color="#4c72b0")
    memory.set(xlabel="thousand requests", ylabel="resident memory, MiB", ylim=(0, 1.2 * max(held)))
    for panel in (latency, memory):
        panel.spines[["top", "right"]].set_visible(False)
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=110)
