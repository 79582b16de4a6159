"""Arguments and course of the benchmark: start both engines, check parity, measure, report."""

import argparse
import asyncio
import datetime
import json
import os
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.serve import engines, report
from bench.serve.client import server_round
from bench.serve.engines import EngineProcess, Settings, Started
from bench.serve.idle import Meter, Usage, settle
from bench.serve.measure import Round
from bench.serve.modes import MODE_OF, MODES, BenchmarkError, Mode, Work
from bench.serve.prompts import PROMPTS
from bench.serve.report import Cell
from vagus import AsyncClient

if TYPE_CHECKING:
    from vagus_server.packs.pack import Pack

_ROOT = Path(__file__).resolve().parents[2]
_PACK = _ROOT / "server/vagus_server/data/packs/smollm2-135m-instruct"


def main() -> int:
    """Entry point; returns the exit code."""
    arguments = _parser().parse_args()
    # Each engine would bind its threads to the same cores and leave one core out.
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("TQDM_DISABLE", "1")
    try:
        asyncio.run(_run(arguments))
    except BenchmarkError as error:
        _say(f"no results: {error}")
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
    add("--modes", default=",".join(MODE_OF), help="comma-separated; default: all")
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


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


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
    return Settings(arguments.model or ensure_bundled_model(), arguments.pack, engine)


class _Benchmark:
    """One run, with both engines up.

    Args:
        arguments: of the command line.
        prompts: token ids.
        concepts: of the pack.
        stock, vagus: the engines' processes.
        client: connected to the Vagus server.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        prompts: list[tuple[int, ...]],
        concepts: list[str],
        stock: EngineProcess,
        vagus: EngineProcess,
        client: AsyncClient,
    ) -> None:
        self._arguments = arguments
        self._prompts = prompts
        self._readouts = tuple(concepts[: arguments.readouts])
        self._stock = stock
        self._vagus = vagus
        self._client = client
        self._pids = (stock.pid, vagus.pid)

    def _work(self, first: int, batch: int, tokens: int) -> Work:
        chosen = (self._prompts[(first + i) % len(self._prompts)] for i in range(batch))
        a = self._arguments
        return Work(tuple(chosen), tokens, a.concept, a.strength, self._readouts)

    async def _run_vagus(self, mode: Mode, work: Work) -> Round:
        if mode.path == "server":
            return await server_round(self._client, mode, work)
        return await self._vagus.run(mode, work)

    async def check(self) -> None:
        """Raises BenchmarkError unless Vagus generates what stock vLLM does, and steers.

        Unsteered prompts run one by one: what else is in a batch changes roundings.
        """
        tokens = self._arguments.parity_tokens
        for i in range(len(self._prompts)):
            work = self._work(i, 1, tokens)
            expected = await self._stock.run(None, work)
            for mode in MODES:
                if not mode.steers:
                    found = await self._run_vagus(mode, work)
                    if not found.same_as(expected):
                        raise BenchmarkError(
                            f"{mode.name} generates {found.tokens[0]} for prompt {i}, and stock "
                            f"vLLM {expected.tokens[0]}"
                        )
        for mode in MODES:
            if mode.steers:
                await self._run_vagus(mode, self._work(0, 2, tokens))

    async def measure(self, mode: Mode, batch: int) -> Cell:
        """One cell: pairs in the order S V, V S, S V, ..., of which the first is discarded.

        The order alternates so that a machine that slows down or speeds up favours neither.
        """
        cell = Cell(mode.name, batch)
        for pair in range(self._arguments.pairs + 1):
            work = self._work(pair * batch, batch, self._arguments.tokens)
            if pair % 2 == 0:
                stock, stock_usage = await self._measured(self._stock.run(None, work))
                vagus, vagus_usage = await self._measured(self._run_vagus(mode, work))
            else:
                vagus, vagus_usage = await self._measured(self._run_vagus(mode, work))
                stock, stock_usage = await self._measured(self._stock.run(None, work))
            if pair > 0:
                cell.add(stock, vagus, stock_usage, vagus_usage)
            ratio = vagus.tokens_per_second / stock.tokens_per_second
            _say(
                f"{mode.name} batch {batch} pair {pair}: stock {stock.tokens_per_second:.1f} "
                f"vagus {vagus.tokens_per_second:.1f} tokens/s, ratio {ratio:.3f}, "
                f"other processes {vagus_usage.others:.2f} cores"
                + (" (warm-up, discarded)" if pair == 0 else "")
            )
        return cell

    async def _measured(self, round_: Coroutine[Any, Any, Round]) -> tuple[Round, Usage]:
        await settle(self._pids)
        meter = Meter(self._pids)
        return await round_, meter.read()


async def _run(arguments: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    from vagus_server.packs.pack import Pack

    unknown = [name for name in arguments.modes.split(",") if name not in MODE_OF]
    if unknown:
        raise BenchmarkError(f"there are no modes {unknown}; there are {list(MODE_OF)}")
    modes = [MODE_OF[name] for name in arguments.modes.split(",")]
    settings = _settings(arguments)
    pack = Pack.load(settings.pack)
    if arguments.concept not in pack.index:
        raise BenchmarkError(f"the pack has no concept {arguments.concept}")
    texts = json.loads(arguments.prompts.read_text()) if arguments.prompts else PROMPTS
    tokenizer = AutoTokenizer.from_pretrained(settings.model)
    prompts = [tuple(tokenizer.encode(text)) for text in texts]

    async with AsyncExitStack() as stack:
        _say("starting stock vLLM")
        stock = EngineProcess(engines.stock, settings)
        stack.callback(stock.close)
        stock_started = await stock.started()
        # One after the other: starting engines measure the memory that is left.
        _say("starting Vagus")
        vagus = EngineProcess(engines.vagus, settings)
        stack.callback(vagus.close)
        vagus_started = await vagus.started()
        _check_alike(stock_started, vagus_started)
        target = f"127.0.0.1:{vagus_started.port}"
        client = await stack.enter_async_context(AsyncClient(target))
        benchmark = _Benchmark(arguments, prompts, pack.names, stock, vagus, client)
        _say(f"checking parity on {len(prompts)} prompts")
        await benchmark.check()
        cells = [await benchmark.measure(m, batch) for batch in arguments.batch for m in modes]
    environment = _environment(arguments, settings, pack, vagus_started)
    path = arguments.out or report.default_path(environment["device"], environment["date"])
    report.write(path, cells, environment)
    print(report.table(cells))
    _say(f"wrote {path}")


def _check_alike(stock: Started, vagus: Started) -> None:
    differing = {
        name: (value, vagus.facts[name])
        for name, value in stock.facts.items()
        if value != vagus.facts[name]
    }
    if differing:
        raise BenchmarkError(f"the engines differ (stock, Vagus): {differing}")


def _environment(
    arguments: argparse.Namespace, settings: Settings, pack: "Pack", started: Started
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
        "readouts_streamed": str(min(arguments.readouts, len(pack.names))),
        "tokens": str(arguments.tokens),
        **started.facts,
    }
