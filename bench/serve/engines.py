"""The engines under test, each in a process of its own.

All are built from the same options; `facts` says what vLLM made of them, and the benchmark
refuses to compare engines whose facts differ.
"""

import asyncio
import gc
import os
import platform
from collections.abc import AsyncIterator, Sequence
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.serve.driver import Driver
from bench.serve.measure import Request, Round, run_round
from bench.serve.memory import lock
from bench.serve.modes import Mode, Work
from bench.serve.process import Settings, Started, answer, reporting


def stock(connection: Connection, settings: Settings) -> None:
    """Runs stock vLLM: without our worker, scheduler or settings."""
    asyncio.run(reporting(connection, _stock(connection, settings)))


def vagus(connection: Connection, settings: Settings) -> None:
    """Runs a Vagus server, whose engine is also driven directly."""
    asyncio.run(reporting(connection, _vagus(connection, settings)))


async def _stock(connection: Connection, settings: Settings) -> None:
    from vllm import SamplingParams
    from vllm.inputs.engine import tokens_input
    from vllm.sampling_params import RequestOutputKind

    llm = stock_llm(settings)
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
        connection.send(Started(facts(llm.vllm_config), notes()))
        await answer(connection, run)
    finally:
        llm.shutdown()


def stock_llm(settings: Settings) -> Any:
    """vLLM's AsyncLLM without our worker, scheduler or settings."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    from vagus_server.engine.executor import share_process

    options = _stock_options(settings)
    config = AsyncEngineArgs(**options).create_engine_config()
    if not settings.stock_processes:
        share_process(config, options)
    return AsyncLLM.from_vllm_config(config)


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
    # As a server in the foreground does it, and vLLM's own.
    gc.collect()
    gc.freeze()
    driver = Driver(app)
    try:
        runner = {"runner": f"V{app.engine.description['runner']}"}
        found = facts(app.engine.llm.vllm_config)
        connection.send(Started(found, notes() | runner, app.port))
        await answer(connection, driver.run)
    finally:
        await app.stop()


def facts(config: Any) -> dict[str, str]:
    """What engines that are compared must agree on."""
    compilation, scheduler = config.compilation_config, config.scheduler_config
    found = {
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
    return {name: str(value) for name, value in found.items()}


def notes() -> dict[str, str]:
    """What is recorded beside the facts."""
    import torch
    import vllm
    from vllm.platforms import current_platform

    on_cpu = current_platform.is_cpu()
    return {
        "device": cpu_model() if on_cpu else str(current_platform.get_device_name()),
        "memory_locked": str(lock()),
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
