"""Predicts what steering costs a server on an H100, by memory traffic: shares of a decode step.

A step lasts as long as the model's weights take to be read once, in bfloat16: attention and the
host's part are left out, the latter since the next step is laid out meanwhile. Programs are of
three operations at one site, readouts of 171 concepts at one. `bench/serve` measures the same.
"""

import sys
from pathlib import Path
from types import ModuleType

# With the repository's root on the path, its folder `kernels` would stand for another package.
if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

from bench.kernels.roofline import DEVICES, Work

#: Hidden size and bytes of the weights.
SHAPES = {"1B": (2048, 2.5e9), "8B": (4096, 16.1e9)}
#: Launches that every step has, whatever it steers: its message, and the collected readouts.
STEP_LAUNCHES = 2


def main() -> None:
    """Prints the table."""
    device = next(d for d in DEVICES if d.name == "H100")
    print("| model | rows | step, ms | idle | one shared program | one each | 171 readouts |")
    print("|---|---|---|---|---|---|---|")
    for name, (hidden, weights) in SHAPES.items():
        for rows in (1, 64, 256):
            step = weights / device.bandwidth
            launches = STEP_LAUNCHES * device.launch
            works = (
                Work(rows, hidden),
                Work(rows, hidden, steered=3),
                Work(rows, hidden, steered=3, programs=rows),
                Work(rows, hidden, concepts=171),
            )
            idle, *_ = floors = [work.floor(device) for work in works]
            shares = [(launches + floor - idle) / step for floor in floors]
            cells = " | ".join(f"{share:.2%}" for share in shares)
            print(f"| {name} | {rows} | {step * 1e3:.2f} | {cells} |")


if __name__ == "__main__":
    main()
