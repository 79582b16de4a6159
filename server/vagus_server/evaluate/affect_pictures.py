"""Pictures of valence and arousal."""

import numpy as np
from matplotlib.axes import Axes

from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.pictures import BLUE, GREY, VIOLET, canvas, mark_site
from vagus_server.evaluate.result import Picture
from vagus_server.evaluate.statistics import pearson


def plane(
    e: Evidence,
    components: np.ndarray,
    share: np.ndarray,
    valence: dict[str, float],
    signs: dict[str, float],
) -> Picture:
    """Concepts on the two leading components, coloured by valence."""
    turn = np.sign([signs.get("PC1", 1.0) or 1.0, 1.0])
    x, y = (components[:, :2] * turn).T
    colours = [valence.get(name, np.nan) for name in e.names]
    with canvas(size=(9.0, 6.4)) as drawn:
        axes = drawn.axes[0]
        missing = np.isnan(colours)
        axes.scatter(x[missing], y[missing], s=9, color="#bbbbbb")
        points = axes.scatter(x, y, s=14, c=colours, cmap="RdBu", vmin=-3, vmax=3)
        _label(axes, x, y, e.names)
        axes.set(xlabel=f"PC1 ({share[0]:.0%})", ylabel=f"PC2 ({share[1]:.0%})")
        drawn.figure.colorbar(points, ax=axes, shrink=0.6, label="valence (VADER); grey: none")
    return drawn.picture(
        "components", "Concepts on the two leading components; in the crowd not all are named."
    )


def _label(axes: Axes, x: np.ndarray, y: np.ndarray, names: list[str]) -> None:
    """Names beside their points, the outermost first; those without room are left out."""
    width, height = np.ptp(x) / 420, np.ptp(y) / 40
    taken: list[tuple[float, float, float]] = []
    for i in np.argsort(-(((x - x.mean()) / x.std()) ** 2 + ((y - y.mean()) / y.std()) ** 2)):
        end = x[i] + width * (4 * len(names[i]) + 4)
        if any(a < end and x[i] < b and abs(y[i] - h) < height for a, b, h in taken):
            continue
        taken.append((x[i], end, y[i]))
        axes.annotate(
            names[i], (x[i], y[i]), fontsize=6, xytext=(3, -2), textcoords="offset points"
        )


def scatter(read: dict[str, tuple[np.ndarray, np.ndarray]]) -> list[Picture]:
    """Ratings read out against ratings given, for each norm."""
    if not read:
        return []
    with canvas(1, len(read), size=(3.6 * len(read), 3.2)) as drawn:
        for axes, (what, (found, target)) in zip(drawn.axes, read.items(), strict=True):
            axes.scatter(target, found, s=9, color=BLUE)
            axes.set(
                xlabel=f"{what}, rated",
                ylabel=f"{what}, read out",
                title=f"r = {pearson(found, target):.2f}, {len(target)} concepts",
            )
    return [drawn.picture("affect-read", "Norms read from vectors of concepts left out.")]


def by_sites(by_site: dict[str, list[float]], site: int, floor: float) -> list[Picture]:
    """How well the norms are read at every site."""
    if not by_site:
        return []
    with canvas(size=(7.5, 2.8)) as drawn:
        axes = drawn.axes[0]
        for (what, values), colour in zip(by_site.items(), (BLUE, VIOLET), strict=False):
            axes.plot(values, marker="o", ms=3, label=what, color=colour)
        axes.axhline(floor, color=GREY, linewidth=0.8, linestyle="--")
        mark_site(axes, site)
        axes.set(
            xlabel="site",
            ylabel="r, read out against rated",
            ylim=(min(0, *map(min, by_site.values())), 1),
        )
        axes.legend()
    return [
        drawn.picture(
            "affect-by-site",
            "The same at every site. Dashed: the floor for valence. Dotted: the readout site.",
        )
    ]
