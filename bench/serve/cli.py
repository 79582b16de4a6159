"""Arguments of the benchmark, its two sides, and its report."""

import argparse
import asyncio
import datetime
import json
import os
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from bench.serve import engines, http_server, report
from bench.serve.modes import CONTROL, MODE_OF, MODES, BenchmarkError
from bench.serve.pairs import Benchmark, say
from bench.serve.process import EngineProcess, Settings, Started
from bench.serve.prompts import PROMPTS
from vagus import AsyncClient

if TYPE_CHECKING:
    from vagus_server.packs.pack import Pack

_ROOT = Path(__file__).resolve().parents[2]
_SIDES = {
    "engine": "stock vLLM, driven directly",
    "openai": "vLLM's OpenAI server, over HTTP",
    "vagus": "the same Vagus engine, unsteered",
}
_PACK = _ROOT / "server/vagus_server/data/packs/smollm2-135m-instruct"


def main() -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args()
    if not arguments.stock_processes:
        # Each engine would bind its threads to the same cores and leave one core out.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        asyncio.run(_run(arguments))
    except BenchmarkError as error:
        say(f"no results: {error}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run.py", description="Compares Vagus with stock vLLM, pair by pair."
    )
    add = parser.add_argument
    add("--model", type=Path, help="folder of the model; default: the bundled one")
    add("--pack", type=Path, default=_PACK, help="folder of the concept pack")
    add("--batch", type=_integers, default=[1, 8, 16], help="requests at once: 1,8,16")
    add("--tokens", type=int, default=24, help="tokens that each request generates")
    add("--pairs", type=int, default=20, help="pairs of rounds per cell, after one discarded")
    add("--against", choices=list(_SIDES), default="engine", help="the other side")
    add(
        "--modes",
        default=",".join(mode.name for mode in MODES),
        help=f"comma-separated, or {CONTROL.name}; default: all that are Vagus's",
    )
    add(
        "--stock-processes",
        action="store_true",
        help="a CPU's worker of stock vLLM runs as vLLM's defaults have it, not as Vagus's does; "
        "only where Vagus's shares a process, on few cores",
    )
    add("--prompts", type=Path, help="JSON list of texts; default: the 32 of prompts.py")
    add("--concept", default="desperate", help="concept that steered modes add")
    add("--strength", type=float, default=0.1, help="its strength, in mean residual norms")
    add("--readouts", type=int, default=24, help="concepts streamed per token")
    add("--parity-tokens", type=int, default=16, help="tokens per prompt in the parity check")
    add("--out", type=Path, help="default: bench/results/<device>/<date>-serve.csv")
    engine = parser.add_argument_group("both engines")
    add = engine.add_argument
    add("--dtype", default="", help="default: float32 on a CPU, else auto")
    add("--load-format", default="auto", help="vLLM's; dummy needs no weights")
    add("--max-model-len", type=int, default=1024)
    add("--max-running", type=int, default=64)
    add("--kv-cache-gib", type=float, help="default: 0.5 on a CPU")
    add("--gpu-memory-utilization", type=float, default=0.4, help="of each engine; there are two")
    add("--eager", action="store_true", help="without compilation")
    add("--engine-options", type=json.loads, default={}, help="further vLLM options, JSON object")
    return parser


def _integers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _settings(arguments: argparse.Namespace) -> Settings:
    from vllm.platforms import current_platform

    from vagus_server.models.bundled import ensure_bundled_model

    on_cpu = bool(current_platform.is_cpu())
    engine: dict[str, Any] = {
        "dtype": arguments.dtype or ("float32" if on_cpu else "auto"),
        "max_model_len": arguments.max_model_len,
        "max_running": arguments.max_running,
        "kv_cache_gib": arguments.kv_cache_gib or (0.5 if on_cpu else None),
        "gpu_memory_utilization": arguments.gpu_memory_utilization,
        "eager": arguments.eager,
        "engine_options": {
            "load_format": arguments.load_format,
            # Every round computes its prompts anew, whatever ran before it.
            "enable_prefix_caching": False,
            **arguments.engine_options,
        },
    }
    model = arguments.model or ensure_bundled_model()
    return Settings(model, arguments.pack, engine, arguments.stock_processes)


async def _run(arguments: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    from vagus_server.packs.pack import Pack

    unknown = [name for name in arguments.modes.split(",") if name not in MODE_OF]
    if unknown:
        raise BenchmarkError(f"there are no modes {unknown}; there are {list(MODE_OF)}")
    modes = [MODE_OF[name] for name in arguments.modes.split(",")]
    if CONTROL in modes and len(modes) > 1:
        raise BenchmarkError(f"{CONTROL.name} is a run of its own")
    settings = _settings(arguments)
    pack = Pack.load(settings.pack)
    if arguments.concept not in pack.index:
        raise BenchmarkError(f"the pack has no concept {arguments.concept}")
    texts = json.loads(arguments.prompts.read_text()) if arguments.prompts else PROMPTS
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    prompts = [tuple(tokenizer.encode(text)) for text in texts]

    async with AsyncExitStack() as stack:
        control, alone = modes == [CONTROL], arguments.against == "vagus"
        if control and alone:
            raise BenchmarkError(f"{CONTROL.name} needs another engine")
        over_http = arguments.against == "openai"
        if not alone:
            say(f"starting {_SIDES[arguments.against]}")
            stock = EngineProcess(http_server.openai if over_http else engines.stock, settings)
            stack.callback(stock.close)
            stock_started = await stock.started()
        # One after the other: starting engines measure the memory that is left.
        say(f"starting {'another one' if control else 'Vagus'}")
        vagus = EngineProcess(engines.stock if control else engines.vagus, settings)
        stack.callback(vagus.close)
        vagus_started = await vagus.started()
        if alone:
            stock, stock_started = vagus, vagus_started
        _check_alike(stock_started, vagus_started, arguments.stock_processes)
        client = None
        if not control:
            target = f"127.0.0.1:{vagus_started.port}"
            client = await stack.enter_async_context(AsyncClient(target))
        if over_http:
            # Without a limit on connections, and none kept longer than the server (5 s) would.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
            session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
            run_stock = partial(http_server.openai_round, session, stock_started.port)
        else:
            run_stock = partial(stock.run, MODE_OF["engine-idle"] if alone else None)
        pids = (vagus.pid,) if alone else (stock.pid, vagus.pid)
        benchmark = Benchmark(arguments, prompts, pack.names, run_stock, vagus, client, pids)
        say(f"checking parity on {len(prompts)} prompts")
        await benchmark.check()
        cells = [await benchmark.measure(m, batch) for batch in arguments.batch for m in modes]
    environment = _environment(arguments, settings, pack, vagus_started, stock_started.facts)
    path = arguments.out or report.default_path(
        environment["device"], environment["date"], arguments.against
    )
    report.write(path, cells, environment)
    print(report.table(cells))
    say(f"wrote {path}")


def _check_alike(stock: Started, vagus: Started, stock_processes: bool) -> None:
    differing = {
        name: (value, vagus.facts[name])
        for name, value in stock.facts.items()
        if value != vagus.facts[name] and not (stock_processes and name == "executor")
    }
    if differing:
        raise BenchmarkError(f"the engines differ (stock, Vagus): {differing}")


def _environment(
    arguments: argparse.Namespace,
    settings: Settings,
    pack: "Pack",
    started: Started,
    stock: dict[str, str],
) -> dict[str, str]:
    return {
        "date": datetime.date.today().isoformat(),
        "commit": report.commit(),
        "cpu": engines.cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        **started.notes,
        "model": settings.model.name,
        "pack": pack.name,
        "concepts": str(len(pack.names)),
        "against": _SIDES[arguments.against],
        "stock_executor": stock["executor"],
        "readouts_streamed": str(min(arguments.readouts, len(pack.names))),
        "tokens": str(arguments.tokens),
        **started.facts,
    }
