"""Who uses the processor: the engine that is measured, the one that waits, or somebody else."""

import asyncio
import time
from dataclasses import dataclass

import psutil  # type: ignore[import-untyped]

from bench.serve.modes import BenchmarkError

#: A waiting engine may use so many cores; more would slow the other one down.
IDLE_CORES = 0.05
_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 30.0


def tree_seconds(pid: int) -> float:
    """Processor seconds that a process and its living descendants have used so far."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def _machine_seconds() -> float:
    t = psutil.cpu_times()
    # What a hypervisor steals is lost to us as well.
    return float(t.user + t.nice + t.system + t.irq + t.softirq + t.steal)


@dataclass(frozen=True)
class Usage:
    """Cores used over an interval.

    Args:
        seconds: the interval's length.
        engines: by each engine's processes, in the order given.
        others: by all processes of the machine that are neither an engine's nor ours.
    """

    seconds: float
    engines: tuple[float, ...]
    others: float


class Meter:
    """Measures from its making to `read`.

    Args:
        pids: root process of each engine. All must be our own children.
    """

    def __init__(self, pids: tuple[int, ...]) -> None:
        self._pids = pids
        self._ours = psutil.Process().pid
        self._start = self._now()

    def _now(self) -> tuple[float, float, float, list[float]]:
        return (
            time.perf_counter(),
            _machine_seconds(),
            tree_seconds(self._ours),
            [tree_seconds(pid) for pid in self._pids],
        )

    def read(self) -> Usage:
        """Usage since the start."""
        (t0, machine0, ours0, engines0), (t1, machine1, ours1, engines1) = self._start, self._now()
        seconds = t1 - t0
        engines = (b - a for a, b in zip(engines0, engines1, strict=True))
        others = (machine1 - machine0) - (ours1 - ours0)
        return Usage(seconds, tuple(used / seconds for used in engines), max(0.0, others / seconds))


async def settle(pids: tuple[int, ...]) -> None:
    """Waits until every engine is idle: vLLM's workers spin for a second after a request.

    Raises:
        BenchmarkError: one of them does not come to rest.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        meter = Meter(pids)
        await asyncio.sleep(_LOOK_SECONDS)
        used = meter.read().engines
        if max(used) < IDLE_CORES:
            return
        if time.monotonic() > deadline:
            raise BenchmarkError(f"an idle engine keeps using {max(used):.2f} cores")
