"""Pictures as PNG, the same bytes from the same numbers."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vagus_server.evaluate.result import Picture

BLUE, RED, GREY, GREEN, VIOLET = "#2060a0", "#b03030", "#909090", "#2e7d4f", "#7b4fa0"
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.dpi": 110,
}


class Canvas:
    """A figure that is being drawn; `axes` has its panels in a row-major list."""

    def __init__(self, rows: int, columns: int, size: tuple[float, float]) -> None:
        self.figure = Figure(figsize=size, layout="constrained")
        self.axes: list[Axes] = list(
            np.ravel(np.asarray(self.figure.subplots(rows, columns), dtype=object))
        )
        self.png = b""

    def picture(self, name: str, caption: str) -> Picture:
        """The finished drawing."""
        return Picture(name, caption, self.png)


@contextmanager
def canvas(
    rows: int = 1, columns: int = 1, size: tuple[float, float] = (7.5, 3.4)
) -> Iterator[Canvas]:
    """Draws in the report's style and renders at the end."""
    with matplotlib.rc_context(_STYLE):
        drawn = Canvas(rows, columns, size)
        yield drawn
        buffer = io.BytesIO()
        drawn.figure.savefig(buffer, format="png", metadata={"Software": None})
        drawn.png = buffer.getvalue()


def matrix(
    axes: Axes,
    values: np.ndarray,
    labels: Sequence[str],
    limit: float,
    columns: Sequence[str] | None = None,
    colours: str = "RdBu_r",
    font: float = 7,
) -> Any:
    """A heat map with labels on both sides; colours run from -limit to limit."""
    low = -limit if colours == "RdBu_r" else 0.0
    image = axes.imshow(values, cmap=colours, vmin=low, vmax=limit, aspect="auto")
    across = labels if columns is None else columns
    axes.set_xticks(range(len(across)), across, rotation=90, fontsize=font)
    axes.set_yticks(range(len(labels)), labels, fontsize=font)
    axes.grid(False)
    return image


def mark_site(axes: Axes, site: int) -> None:
    """A line at the pack's readout site, on an axis of sites."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.axvline(site, color=GREY, linewidth=1, linestyle=":")
