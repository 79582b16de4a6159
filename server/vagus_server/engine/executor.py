"""Where a CPU's only worker runs."""

import os
from typing import Any

#: Most cores at which it shares the engine core's process.
FEW_CORES = 4


def share_process(config: Any, options: dict[str, Any]) -> None:
    """Lets the only worker of a small machine run in the engine core's process, as on a GPU.

    vLLM gives a CPU's worker a process of its own, bound to all cores but one, and each process
    spins while it waits for the other. Of two cores that is one. Where there are many, the
    binding is worth more; so it is to an operator who chose one.

    Args:
        config: vLLM's finished configuration; its executor is changed.
        options: the engine options that the operator chose.
    """
    from vllm.platforms import current_platform

    parallel = config.parallel_config
    alone = parallel.world_size == parallel.data_parallel_size == 1
    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    reserved = "VLLM_CPU_NUM_OF_RESERVED_CPU" in os.environ
    chosen = "distributed_executor_backend" in options or binding != "nobind" or reserved
    if not current_platform.is_cpu() or not alone or chosen:
        return
    if len(os.sched_getaffinity(0)) <= FEW_CORES:
        parallel.distributed_executor_backend = "uni"
