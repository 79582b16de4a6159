"""The dose experiment's picture: effect, coherence and valence against dose."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vagus_server.experiments.dose import Point, Settings
from vagus_server.experiments.dose_report import null
from vagus_server.experiments.picture import BLUE, GREY, RED, figure, save


def draw(points: Sequence[Point], settings: Settings, out: Path) -> Path:
    """One row per site: own readouts with the random band, perplexity, distinct-2, valence."""
    rows = len(settings.sites)
    drawn, panels = figure(rows, 4, (15, 3.6 * rows))
    for i, site in enumerate(settings.sites):
        here = [p for p in points if p.site == site]
        _row(panels[4 * i : 4 * i + 4], here, settings, site)
    return save(drawn, out, "dose")


def _row(panels: Sequence[Any], here: Sequence[Point], settings: Settings, site: int) -> None:
    lift, perplexity, distinct, valence = panels
    strengths = list(settings.strengths)
    steered = {c: [p for p in here if p.name == c] for c in settings.concepts}
    random = [[p for p in here if p.name == c] for c in settings.controls]
    for name, own in steered.items():
        held = [p for p in own if p.coherent]
        lift.plot(strengths, [p.lifts[name] for p in own], color=BLUE, alpha=0.25, lw=1)
        lift.plot([p.strength for p in held], [p.lifts[name] for p in held], ".", color=BLUE, ms=5)
    lift.plot([], [], ".-", color=BLUE, label="a concept on its own readout (dot: coherent)")
    bands = [
        [v for c in settings.concepts for v in null(c, site, strength, here)]
        for strength in strengths
    ]
    if all(bands):
        low, high = np.quantile(np.array(bands), [0.025, 0.975], axis=1)
        lift.fill_between(
            strengths, low, high, color=GREY, alpha=0.4, label="random directions, 95 %"
        )
    lift.set_title(f"site {site}: rise of the readout in the text")
    lift.set_ylabel("deviations of reference traffic")
    lift.legend(loc="upper left")
    shown: list[tuple[Any, Callable[[Point], float], str]] = [
        (perplexity, lambda p: p.perplexity_ratio, "perplexity / unsteered"),
        (distinct, lambda p: p.distinct_ratio, "distinct-2 / unsteered"),
        (valence, lambda p: p.valence_shift.value, "shift of VADER valence"),
    ]
    for panel, value, title in shown:
        for lines, colour in ((random, GREY), (list(steered.values()), BLUE)):
            for own in lines:
                panel.plot(strengths, [value(p) for p in own], color=colour, alpha=0.3, lw=1)
        panel.set_title(title)
    perplexity.set_yscale("log")
    perplexity.axhline(settings.bounds.perplexity, color=RED, ls="--", lw=1)
    distinct.axhline(settings.bounds.distinct, color=RED, ls="--", lw=1)
    for panel in panels:
        panel.set_xlabel("strength, mean residual norms")
