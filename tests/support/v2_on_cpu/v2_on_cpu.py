"""A vLLM plugin for tests: keeps asynchronous scheduling, and compilation if asked, on a CPU.

Together with sitecustomize.py beside it, everything runs as on CUDA but the kernels.
"""

import os
from typing import Any


def register() -> None:
    """Called by vLLM in each of its processes; runs more than once."""
    import vllm.triton_utils  # noqa: F401  # HAS_TRITON is decided here, with the stand-in
    from triton.backends import backends
    from vllm.platforms.cpu import CpuPlatform

    backends.pop("cpu", None)  # Inductor would try to use it
    _take_masks_of_any_type()
    check = CpuPlatform.check_and_update_config.__func__
    if getattr(check, "keeps_async", False):
        return

    def check_and_update_config(cls: Any, config: Any) -> None:
        asynchronous = config.scheduler_config.async_scheduling
        compilation = config.compilation_config
        mode, backend = compilation.mode, compilation.backend
        check(cls, config)
        config.scheduler_config.async_scheduling = asynchronous
        if os.environ.get("VAGUS_TEST_COMPILE"):
            compilation.mode, compilation.backend = mode, backend
            compilation.splitting_ops = None
            compilation.compile_sizes = []
            compilation.set_splitting_ops_for_v1("", 1)

    check_and_update_config.keeps_async = True  # type: ignore[attr-defined]
    CpuPlatform.check_and_update_config = classmethod(check_and_update_config)
    if os.environ.get("VAGUS_TEST_COMPILE"):
        from vllm.compilation.passes.utility import fix_functionalization

        # The pass knows CUDA's custom operators alone.
        fix_functionalization.FixFunctionalizationPass.__call__ = lambda self, graph: None
    if os.environ.get("VAGUS_TEST_SHARED_BLOCKS"):
        from vagus_server.plugin import blocks

        blocks.install = lambda: None
    if os.environ.get("VAGUS_TEST_BLIND_CACHE"):
        _leave_our_settings_out_of_the_cache_key()


def _take_masks_of_any_type() -> None:
    """As on a GPU: the interpreter refuses the integer masks of vLLM's n-gram kernel."""
    from triton.runtime.interpreter import InterpreterBuilder

    load = InterpreterBuilder.create_masked_load
    if getattr(load, "takes_any", False):
        return

    def create_masked_load(self: Any, pointers: Any, mask: Any, *rest: Any) -> Any:
        mask.data = mask.data.astype(bool)
        return load(self, pointers, mask, *rest)

    create_masked_load.takes_any = True  # type: ignore[attr-defined]
    InterpreterBuilder.create_masked_load = create_masked_load


def _leave_our_settings_out_of_the_cache_key() -> None:
    """What would happen if the plugin's settings were not in additional_config."""
    from vllm.config import VllmConfig

    compute = VllmConfig.compute_hash

    def compute_hash(self: Any) -> str:
        ours, self.additional_config = self.additional_config, {}
        try:
            return compute(self)
        finally:
            self.additional_config = ours

    VllmConfig.compute_hash = compute_hash
