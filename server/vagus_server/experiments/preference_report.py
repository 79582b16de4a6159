"""What the preference experiment found, as text and as a picture, against the paper's figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vagus_server.experiments.picture import BLUE, GREY, RED, figure, save
from vagus_server.experiments.preference import Outcome, Read, Settings

#: The paper's, on a far larger model and activities of its own.
PAPER = {"blissful": 0.71, "hostile": -0.74}
PAPER_COUPLING = 0.85
#: Concepts shown from either end.
_SHOWN = 10


def summary(outcome: Outcome, settings: Settings) -> str:
    """The findings as text."""
    elo = np.array(outcome.elo)
    order = np.argsort(elo)
    lines = [
        f"{len(elo)} activities, Elo {elo.min():.0f} to {elo.max():.0f}; the one named first has "
        f"log-odds of {outcome.first_place_log_odds:+.2f} by its place alone",
        *(f"  {elo[i]:.0f}  {settings.activities[i].text}" for i in order[::-1][:3]),
        "  ...",
        *(f"  {elo[i]:.0f}  {settings.activities[i].text}" for i in order[::-1][-3:]),
    ]
    if outcome.cut_share:
        lines.append(
            f"in {outcome.cut_share:.1%} of answers A or B was not among the 20 likeliest tokens"
        )
    own = [read for read in outcome.reads if read.name in settings.concepts]
    null = [abs(read.r.value) for read in outcome.reads if read.name in settings.controls]
    if null:
        limit = float(np.quantile(null, 0.95))
        beyond = sum(abs(read.r.value) > limit for read in own)
        lines.append(
            f"readout against Elo, Pearson's r: of {len(null)} random directions, 95 % have |r| "
            f"below {limit:.2f}; {beyond} of {len(own)} concepts are beyond it"
        )
    else:
        lines.append("readout against Elo, Pearson's r; without random directions there is no null")
    for read in extremes(own):
        paper = f"   paper {PAPER[read.name]:+.2f}" if read.name in PAPER else ""
        lines.append(f"  {read.name:16} r {read.r}{paper}")
    if outcome.shifts:
        lines.append(f"shift of Elo when {settings.strength:g} is added on an activity's tokens")
        random = [s.mean.value for s in outcome.shifts if s.name in settings.steered_controls]
        if random:
            low, high = np.quantile(random, [0.025, 0.975])
            lines.append(
                f"  {len(random)} random directions: 95 % within {low:+.1f} to {high:+.1f}"
            )
        for shift in outcome.shifts:
            if shift.name in settings.steered:
                lines.append(f"  {shift.name:16} {shift.mean}")
    if outcome.coupling is not None:
        lines.append(f"shift against r: r = {outcome.coupling} (paper {PAPER_COUPLING})")
    return "\n".join(lines)


def extremes(reads: Sequence[Read]) -> list[Read]:
    """The concepts with the greatest and the least r and those of the paper, by r."""
    ordered = sorted(reads, key=lambda read: -read.r.value)
    shown = [*ordered[:_SHOWN], *ordered[_SHOWN:][-_SHOWN:]]
    return [read for read in ordered if read in shown or read.name in PAPER]


def draw(outcome: Outcome, settings: Settings, out: Path) -> Path:
    """Readout against rating for the two extreme concepts, all r with the null, and shifts."""
    drawn, panels = figure(1, 4, (16, 4))
    own = extremes([read for read in outcome.reads if read.name in settings.concepts])[::-1]
    null = [read.r.value for read in outcome.reads if read.name in settings.controls]
    for panel, read in zip(panels, (own[-1], own[0]), strict=False):
        panel.scatter(read.z, outcome.elo, s=12, color=BLUE)
        panel.set_title(f"{read.name}: r = {read.r}")
        panel.set_xlabel("readout on the activity, z")
        panel.set_ylabel("Elo")
    bars = panels[2]
    places = np.arange(len(own))
    values = np.array([[r.r.value, r.r.low, r.r.high] for r in own])
    bars.errorbar(
        values[:, 0],
        places,
        xerr=np.abs(values[:, 1:] - values[:, :1]).T,
        fmt="o",
        color=BLUE,
        ms=3,
    )
    if null:
        bars.axvspan(*np.quantile(null, [0.025, 0.975]), color=GREY, alpha=0.3)
    bars.set_yticks(places, [read.name for read in own], fontsize=6)
    bars.set_title("r of readout and Elo (grey: random, 95 %)")
    r = {read.name: read.r.value for read in outcome.reads}
    shifts = panels[3]
    for names, colour, label in (
        (settings.steered_controls, GREY, "random directions"),
        (settings.steered, RED, "concepts"),
    ):
        found = [s for s in outcome.shifts if s.name in names and s.name in r]
        shifts.scatter(
            [r[s.name] for s in found],
            [s.mean.value for s in found],
            s=14,
            color=colour,
            label=label,
        )
        for s in found if colour == RED else ():
            shifts.annotate(s.name, (r[s.name], s.mean.value), fontsize=6)
    shifts.legend()
    shifts.set_xlabel("r of readout and Elo")
    shifts.set_title("mean shift of Elo when steered")
    return save(drawn, out, "preference")
