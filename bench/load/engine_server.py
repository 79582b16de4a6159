"""The whole server with the bundled model, and what it holds."""

from collections.abc import Iterable
from typing import Any

import psutil  # type: ignore[import-untyped]

from support.server_process import ServerProcess

_GAUGES = {
    "in_engine": ("vllm:num_requests_running", "vllm:num_requests_waiting"),
    "queued": ("vagus_requests_queued",),
    "in_workers": ("vagus_worker_requests",),
    "program_slots": ("vagus_worker_program_slots_used",),
    "vector_rows": ("vagus_vector_rows_used",),
    "kv_cache_share": ("vllm:kv_cache_usage_perc",),
}


class EngineServer(ServerProcess):
    """Starts the server; `held()` is what all its processes hold."""

    def __init__(self) -> None:
        super().__init__("--max-running", "64")

    @property
    def log(self) -> list[str]:
        """What it has written."""
        return self.output

    def held(self) -> dict[str, Any]:
        """Sums over the server's and the engine's processes, and gauges of its metrics page."""
        root = psutil.Process(self.process.pid)
        processes = [root, *root.children(recursive=True)]
        metrics = self.metrics()
        gauges = {name: _sum(metrics, of) for name, of in _GAUGES.items()}
        return {
            "processes": len(processes),
            "file_descriptors": sum(p.num_fds() for p in processes),
            "threads": sum(p.num_threads() for p in processes),
            "rss_mib": round(sum(p.memory_info().rss for p in processes) / 2**20, 1),
            **gauges,
        }


def _sum(metrics: dict[str, float], names: Iterable[str]) -> float:
    found = [v for key, v in metrics.items() if key.partition("{")[0] in names]
    if not found:
        raise RuntimeError(f"the metrics page has none of {', '.join(names)}")
    return sum(found)
