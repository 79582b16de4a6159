"""The two engines under test, each in a process of its own that lives for the whole run.

Both are built from the same options; `facts` says what vLLM made of them, and the benchmark
refuses to compare engines whose facts differ.
"""

import asyncio
import multiprocessing
import os
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.serve.measure import Request, Round, run_round
from bench.serve.modes import BenchmarkError, Mode, Work

if TYPE_CHECKING:
    from vagus_server.app import App
    from vagus_server.engine.request import EngineRequest
    from vagus_server.engine.running import Running

_FOREVER = 2**31 - 1


@dataclass(frozen=True)
class Settings:
    """What both engines are started with.

    Args:
        model: folder of the model.
        pack: folder of the concept pack; the stock engine does not read it.
        engine: keyword arguments of Vagus's EngineSettings, without model.
    """

    model: Path
    pack: Path
    engine: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Started:
    """What a process says once its engine runs.

    Args:
        facts: what both engines must agree on.
        notes: what is recorded beside that.
        port: of the gRPC server; 0 for the stock engine.
    """

    facts: dict[str, str]
    notes: dict[str, str]
    port: int = 0


class EngineProcess:
    """A handle on one engine's process.

    Args:
        serve: runs in the process; see `stock` and `vagus`.
        settings: what the engine is started with.
    """

    def __init__(self, serve: Callable[[Connection, Settings], None], settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, settings))
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process; the engine's other processes are its descendants."""
        assert self._process.pid is not None
        return self._process.pid

    async def started(self) -> Started:
        """Waits for the engine."""
        answer = await self._answer()
        assert isinstance(answer, Started)
        return answer

    async def run(self, mode: Mode | None, work: Work) -> Round:
        """Runs a round in the process; the stock engine has no modes."""
        self._connection.send((mode, work))
        answer = await self._answer()
        assert isinstance(answer, Round)
        return answer

    async def _answer(self) -> Started | Round:
        try:
            answer = await asyncio.to_thread(self._connection.recv)
        except EOFError:
            raise BenchmarkError("an engine's process has died; its own output says why") from None
        if isinstance(answer, Exception):
            raise BenchmarkError(f"{type(answer).__name__} in an engine's process: {answer}")
        assert isinstance(answer, Started | Round)
        return answer

    def close(self) -> None:
        """Ends the process, which shuts its engine down."""
        self._connection.close()
        self._process.join(30)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(10)


def stock(connection: Connection, settings: Settings) -> None:
    """Runs stock vLLM: without our worker, scheduler or settings."""
    asyncio.run(_reporting(connection, _stock(connection, settings)))


def vagus(connection: Connection, settings: Settings) -> None:
    """Runs a Vagus server, whose engine is also driven directly."""
    asyncio.run(_reporting(connection, _vagus(connection, settings)))


async def _reporting(connection: Connection, main: Awaitable[None]) -> None:
    try:
        await main
    except Exception as error:
        # Its own class may need more than a message to be unpickled.
        connection.send(BenchmarkError(f"{type(error).__name__}: {error}"))
        raise


async def _serve(
    connection: Connection, run: Callable[[Mode | None, Work], Awaitable[Round]]
) -> None:
    """Answers the other side until it hangs up."""
    while True:
        try:
            mode, work = await asyncio.to_thread(connection.recv)
        except EOFError:
            return
        connection.send(await run(mode, work))


async def _stock(connection: Connection, settings: Settings) -> None:
    from vllm import SamplingParams
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.inputs.engine import tokens_input
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    config = AsyncEngineArgs(**_stock_options(settings)).create_engine_config()
    llm = AsyncLLM.from_vllm_config(config)
    count = 0

    async def request(prompt: Sequence[int], work: Work, name: str) -> AsyncIterator[list[int]]:
        sampling = SamplingParams(**work.sampling, output_kind=RequestOutputKind.DELTA)
        async for output in llm.generate(tokens_input(list(prompt)), sampling, name):
            yield list(output.outputs[0].token_ids)

    async def run(_: Mode | None, work: Work) -> Round:
        nonlocal count
        count += 1
        requests: list[Request] = [
            partial(request, prompt, work, f"{count}-{i}") for i, prompt in enumerate(work.prompts)
        ]
        return await run_round(requests, work.tokens)

    try:
        connection.send(Started(_facts(config), _notes()))
        await _serve(connection, run)
    finally:
        llm.shutdown()


def _stock_options(settings: Settings) -> dict[str, Any]:
    """As in `vagus_server.engine.settings.vllm_config`, less what is Vagus's own there."""
    from vagus_server.engine.settings import EngineSettings

    s = EngineSettings(model=settings.model, **settings.engine)
    options: dict[str, Any] = {
        "model": str(s.model),
        "dtype": s.dtype,
        "max_model_len": s.max_model_len,
        "max_num_seqs": s.max_running,
        "max_num_batched_tokens": s.max_batched_tokens,
        "gpu_memory_utilization": s.gpu_memory_utilization,
        "tensor_parallel_size": s.tensor_parallel,
        "enforce_eager": s.eager,
        **s.engine_options,
    }
    if s.kv_cache_gib is not None:
        options["kv_cache_memory_bytes"] = int(s.kv_cache_gib * 2**30)
    return options


async def _vagus(connection: Connection, settings: Settings) -> None:
    from vagus_server.app import App, load_pack_for
    from vagus_server.engine.settings import EngineSettings
    from vagus_server.settings import ServerSettings

    app = App(
        "bench",
        EngineSettings(model=settings.model, **settings.engine),
        ServerSettings(port=0, metrics_port=None),
        load_pack_for(settings.model, settings.pack),
    )
    await app.start()
    driver = _Driver(app)
    try:
        facts = _facts(app.engine.llm.vllm_config)
        notes = _notes() | {"runner": f"V{app.engine.description['runner']}"}
        connection.send(Started(facts, notes, app.port))
        await _serve(connection, driver.run)
    finally:
        await app.stop()


class _Driver:
    """Drives a server's engine directly, as the server's own services do."""

    def __init__(self, app: "App") -> None:
        from bench.serve.policies import bench_policies

        self._app = app
        self._count = 0
        self._policies = {
            kind: bench_policies(app.engine.pack, app.served.resolver, kind)
            for kind in ("none", "tell", "steer")
        }

    async def run(self, mode: Mode | None, work: Work) -> Round:
        """Runs a round."""
        assert mode is not None
        self._count += 1
        requests: list[Request] = [
            partial(self._follow, mode, self._request(mode, work, i))
            for i in range(len(work.prompts))
        ]
        return await run_round(requests, work.tokens)

    def _request(self, mode: Mode, work: Work, index: int) -> "EngineRequest":
        from vagus.v1 import steering_pb2 as pb
        from vagus_server.engine.request import EngineRequest
        from vagus_server.steering.scope import PromptMap

        message = pb.Program()
        strength = mode.strength(index, work.strength)
        if strength is not None:
            add = pb.Add(strength=strength, unit=pb.STRENGTH_UNIT_RESIDUAL)
            message.operations.add(concept=work.concept, add=add)
        prompt = list(work.prompts[index])
        return EngineRequest(
            request_id=f"bench-{self._count}-{index}",
            token_ids=prompt,
            sampling=dict(work.sampling),
            program=self._app.served.resolver.resolve(message, PromptMap(len(prompt)), "program"),
            # A generated token's readout is that of the position before it.
            read=((len(prompt) - 1, _FOREVER),) if mode.read else (),
            monitor=mode.monitor,
            policies=self._policies[mode.policies],
        )

    async def _follow(self, mode: Mode, request: "EngineRequest") -> AsyncIterator[list[int]]:
        engine = self._app.engine
        running = engine.submit(request)
        position = len(request.token_ids) - 1
        try:
            async for output in running.outputs():
                for _ in output.token_ids:
                    row = running.row(position)
                    if mode.read and (row is None or not np.isfinite(row).all()):
                        raise BenchmarkError(f"no readout of position {position}")
                    position += 1
                yield output.token_ids
        finally:
            engine.close(request)
        _check(running, mode)


def _check(running: "Running", mode: Mode) -> None:
    """Raises BenchmarkError unless the device did what the mode says, and nothing else."""
    end, ledger, prompt = running.processed_end, running.ledger, len(running.request.token_ids)
    last = ledger.segments(end)[-1]
    expected = ledger.processed_tokens(end) if running.request.program else 0
    if mode.policies == "steer":
        # All begin at the first token, and hold one or two tokens later.
        expected = end - min(last.start, prompt + 2)
    steered = ledger.steered_tokens(end)
    if not running.balanced or steered != expected:
        raise BenchmarkError(f"the device steered {steered} tokens of {expected}")
    if len(running.events) != len(running.request.policies):
        raise BenchmarkError(f"{len(running.events)} policies began in {mode.name}")
    if (running.sink.turn_tokens > 0) != mode.monitor:
        raise BenchmarkError(f"the turn has {running.sink.turn_tokens} tokens in {mode.name}")


def _facts(config: Any) -> dict[str, str]:
    compilation, scheduler = config.compilation_config, config.scheduler_config
    facts = {
        "dtype": str(config.model_config.dtype).removeprefix("torch."),
        "compile_mode": getattr(compilation.mode, "name", str(compilation.mode)),
        "compile_backend": compilation.backend,
        "cuda_graphs": getattr(compilation.cudagraph_mode, "name", "NONE"),
        "async_scheduling": scheduler.async_scheduling,
        "max_model_len": config.model_config.max_model_len,
        "max_running": scheduler.max_num_seqs,
        "max_batched_tokens": scheduler.max_num_batched_tokens,
        "chunked_prefill": scheduler.enable_chunked_prefill,
        "prefix_caching": config.cache_config.enable_prefix_caching,
        "block_size": config.cache_config.block_size,
        "kv_cache_dtype": config.cache_config.cache_dtype,
        "tensor_parallel": config.parallel_config.tensor_parallel_size,
        "executor": config.parallel_config.distributed_executor_backend,
        "load_format": config.load_config.load_format,
        "seed": config.model_config.seed,
    }
    return {name: str(value) for name, value in facts.items()}


def _notes() -> dict[str, str]:
    import torch
    import vllm
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    return {
        "device": cpu_model() if on_cpu else str(current_platform.get_device_name()),
        "torch": torch.__version__,
        "vllm": vllm.__version__,
        "omp_bind": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "auto") if on_cpu else "",
        "omp_threads": os.environ.get("OMP_NUM_THREADS", "") if on_cpu else "",
    }


def cpu_model() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
