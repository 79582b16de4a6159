"""The look of the experiments' pictures."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

BLUE, RED, GREY, GREEN = "#2060a0", "#b03030", "#909090", "#2e7d4f"
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def figure(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, list[Any]]:
    """A figure and its panels, row by row."""
    with matplotlib.rc_context(_STYLE):
        drawn = Figure(figsize=size, layout="constrained")
        panels = drawn.subplots(rows, columns, squeeze=False)
    return drawn, list(panels.flat)


def save(drawn: Figure, out: Path, name: str) -> Path:
    """Writes `out`/`name`.png and returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.png"
    with matplotlib.rc_context(_STYLE):
        # Without the library's version, the same figures give the same bytes.
        drawn.savefig(path, dpi=110, metadata={"Software": None})
    return path
