"""Times the site operation on a CPU: `python bench/kernels/cpu.py`.

Microseconds of a call at one site, the median of many. At most sites of a model nothing is read or
steered; what is read is so at one of them, and a program acts at a few.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

import torch

from bench.kernels.roofline import Work
from bench.kernels.scene import site_tables
from vagus_kernels import op
from vagus_kernels.cpu_sites import Held

ROWS = (1, 16, 64, 256)


def works(hidden: int, rows: int) -> dict[str, Work]:
    """What is measured for one shape of the stream."""
    return {
        "idle": Work(rows, hidden),
        "171 readouts": Work(rows, hidden, concepts=171),
        "one ADD, shared": Work(rows, hidden, steered=1),
        "one ADD each": Work(rows, hidden, steered=1, programs=rows),
        "8 operations, shared": Work(rows, hidden, steered=8),
        "8 operations each": Work(rows, hidden, steered=8, programs=rows),
    }


def microseconds(call: Callable[[], object], calls: int) -> float:
    """Median of so many calls, after a tenth as many."""
    times = []
    for i in range(calls + calls // 10):
        began = time.perf_counter()
        call()
        if i >= calls // 10:
            times.append(time.perf_counter() - began)
    return 1e6 * statistics.median(times)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, default=576, help="of the stream")
    parser.add_argument("--calls", type=int, default=300)
    arguments = parser.parse_args()
    draw = torch.Generator().manual_seed(0)
    table = []
    for rows in ROWS:
        cells = {}
        for name, work in works(arguments.hidden, rows).items():
            tables = site_tables(work, draw, "cpu")
            residual = torch.randn(rows, arguments.hidden, generator=draw)
            hidden = torch.randn(rows, arguments.hidden, generator=draw)

            held = Held(tables)
            call = partial(op.steer_read_at_, residual, hidden, held.tables.site)
            cells[name] = microseconds(call, arguments.calls)
        table.append((rows, cells))
    sys.stdout.write(f"| rows | {' | '.join(table[0][1])} |\n|{'---|' * (len(table[0][1]) + 1)}\n")
    for rows, cells in table:
        values = " | ".join(f"{value:.0f}" for value in cells.values())
        sys.stdout.write(f"| {rows} | {values} |\n")


if __name__ == "__main__":
    main()
