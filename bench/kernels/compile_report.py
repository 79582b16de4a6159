"""Prints what the shipped kernels take of a GPU, read from the machine code; needs none.

usage: python bench/kernels/compile_report.py
"""

import sys
from pathlib import Path
from types import ModuleType

if "bench" not in sys.modules:
    package = ModuleType("bench")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["bench"] = package

from bench.kernels.compiled import ARCHITECTURES, HIDDEN, Launch, compile_launch, fused, unfused


def launches() -> list[tuple[str, Launch]]:
    """What decoders of the usual widths launch."""
    norm = [(f"norm, hidden {h}", fused(h, 64, 0)) for h in HIDDEN]
    read = [(f"norm + 171 readouts, {r} rows", fused(4096, r, 171)) for r in (1, 64, 256)]
    _, few = unfused(4096, 1, 171)
    steer, many = unfused(4096, 8192, 171)
    alone = [("steer without norm", steer), ("readouts, 1 row", few), ("readouts, 8192 rows", many)]
    return norm + read + alone


def main() -> None:
    """Prints a Markdown table."""
    columns = (
        "launch",
        "sm",
        "registers",
        "shared",
        "warps",
        "occupancy",
        "spilled",
        "tensor core",
    )
    print("|", " | ".join(columns), "|")
    print("|", " | ".join(["---"] * len(columns)), "|")
    for name, launch in launches():
        for arch in ARCHITECTURES:
            c = compile_launch(launch, arch)
            row = (
                name, f"{arch}", f"{c.registers}", f"{c.shared} B", f"{c.warps}",
                f"{c.occupancy(arch):.0%}", f"{c.spilled}", "yes" if c.tensor_core else "no",
            )  # fmt: skip
            print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
