"""Settings of the engine, and how they become vLLM's."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vagus_server.engine.adapters import adapter_options
from vagus_server.engine.executor import share_process
from vagus_server.plugin import pin
from vagus_server.plugin.config import PluginConfig

_WORKER = "vagus_server.plugin.worker.SteeringWorker"
_SCHEDULER = "vagus_server.plugin.scheduler.SteeringScheduler"
_ASYNC_SCHEDULER = "vagus_server.plugin.scheduler.SteeringAsyncScheduler"


@dataclass(frozen=True)
class EngineSettings:
    """What the operator chooses.

    Args:
        model: folder of the model (safetensors).
        dtype: number type of weights and stream; "auto" takes the model's own.
        max_model_len: longest sequence in tokens; None takes the model's own.
        max_running: most requests in a batch.
        max_batched_tokens: token budget of a forward pass; None takes vLLM's default.
        kv_cache_gib: size of the KV cache on a CPU, in GiB.
        gpu_memory_utilization: share of a GPU's memory that vLLM may take.
        tensor_parallel: number of GPUs that share each layer.
        eager: run without compilation.
        installation: "norm" fuses steering with the norm that follows a layer, "hook" does not;
            "auto" takes norm on a GPU, unless vLLM fuses that norm with a quantisation.
        vectors: capacity of the vector bank.
        adapters: folders of LoRA adapters (safetensors), by the name that requests give.
        engine_options: further vLLM engine arguments, by name.
    """

    model: Path
    dtype: str = "auto"
    max_model_len: int | None = None
    max_running: int = 256
    max_batched_tokens: int | None = None
    kv_cache_gib: float | None = None
    gpu_memory_utilization: float = 0.9
    tensor_parallel: int = 1
    eager: bool = False
    installation: str = "auto"
    vectors: int = 1024
    adapters: dict[str, Path] = field(default_factory=dict)
    engine_options: dict[str, Any] = field(default_factory=dict)


def platform_defaults(dtype: str, kv_cache_gib: float | None) -> tuple[str, float | None]:
    """Number type and KV cache (GiB) where these were not chosen: "" and None."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        return dtype or "float32", kv_cache_gib or 2.0
    return dtype or "auto", kv_cache_gib


def vllm_config(
    settings: EngineSettings, plugin: PluginConfig, worker: str = _WORKER
) -> tuple[Any, PluginConfig]:
    """Builds vLLM's configuration with the plugin in place, and the plugin's own.

    Args:
        settings: of the engine.
        plugin: sizes of the tables.
        worker: import path of the worker's class.

    Raises:
        Unsupported: this vLLM, architecture or setting cannot be steered truthfully.
    """
    import vllm
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform

    pin.check_version(vllm.__version__)
    pin.check_platform(current_platform)
    options: dict[str, Any] = {
        "model": str(settings.model),
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_running,
        "max_num_batched_tokens": settings.max_batched_tokens,
        "gpu_memory_utilization": settings.gpu_memory_utilization,
        "tensor_parallel_size": settings.tensor_parallel,
        "enforce_eager": settings.eager,
        "enable_prefix_caching": True,
        **adapter_options(settings.adapters),
        **settings.engine_options,
    }
    if settings.kv_cache_gib is not None:
        options["kv_cache_memory_bytes"] = int(settings.kv_cache_gib * 2**30)
    for reserved in ("worker_cls", "scheduler_cls", "additional_config"):
        if reserved in settings.engine_options:
            raise pin.Unsupported(f"engine option {reserved} is Vagus's own; leave it out")
    arguments = AsyncEngineArgs(
        **options,
        worker_cls=worker,
        scheduler_cls=_ASYNC_SCHEDULER,
        additional_config=plugin.additional_config(),
    )
    config = arguments.create_engine_config()
    plugin = msgspec.structs.replace(plugin, installation=_installation(settings, config))
    config.additional_config = plugin.additional_config()
    # Only the finished configuration says whether this platform schedules ahead, and each
    # way needs its own scheduler: the wrong one loses it silently, or miscounts.
    if not config.scheduler_config.async_scheduling:
        config.scheduler_config.scheduler_cls = _SCHEDULER
    share_process(config, settings.engine_options)
    pin.check_architecture(list(config.model_config.architectures))
    pin.check_engine_config(config)
    return config, plugin


def _installation(settings: EngineSettings, config: Any) -> str:
    if settings.installation != "auto":
        return settings.installation
    from vllm.platforms import current_platform

    # On a CPU the compiler fuses the norm better than an opaque operator could. In quantised
    # models vLLM fuses it with the quantisation. Its fusion with the all-reduce before it is
    # lost at a site either way: the hook reads what the all-reduce gives as well.
    quantised = config.model_config.quantization is not None
    return "hook" if current_platform.is_cpu() or quantised else "norm"
