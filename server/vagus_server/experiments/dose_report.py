"""What the dose experiment found: collapse doses, and effects against random directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vagus_server.experiments.dose import Point, Settings
from vagus_server.experiments.statistics import share_exceeded

#: A concept counts as steerable where it moves its readout more than this share of controls do.
EXCEEDED = 0.95


@dataclass(frozen=True)
class Finding:
    """One concept at one site."""

    concept: str
    site: int
    #: Smallest strength at which the text fell apart; None: at none of those measured.
    collapse_dose: float | None
    #: Among strengths below it, the one whose lift exceeds most controls (of equals: the greatest
    #: lift); None: the text fell apart at the smallest already.
    best_strength: float | None
    lift: float | None
    #: Share of controls whose lift of this readout at that strength is smaller; None without any.
    exceeded: float | None

    @property
    def steers(self) -> bool:
        """Whether the readout moves more than under EXCEEDED of the controls."""
        return self.exceeded is not None and self.exceeded > EXCEEDED


@dataclass(frozen=True)
class Chance:
    """How often the rule that makes a concept steer holds for a random direction.

    A concept has a chance at every strength, so that more than 1 - EXCEEDED steer by chance. Each
    random direction is judged like a concept, on each concept's readout, against the others.
    """

    site: int
    steers: int
    of: int


def findings(points: Sequence[Point], settings: Settings) -> list[Finding]:
    """One finding per concept and site."""
    return [
        _finding(concept, concept, site, points)
        for site in settings.sites
        for concept in settings.concepts
    ]


def chances(points: Sequence[Point], settings: Settings) -> list[Chance]:
    """One per site; none where there are fewer than two random directions."""
    if len(settings.controls) < 2:
        return []
    return [_chance(site, points, settings) for site in settings.sites]


def collapse_dose(points: Sequence[Point]) -> float | None:
    """Smallest strength at which the text is not coherent, of one direction at one site."""
    return min((p.strength for p in points if not p.coherent), default=None)


def null(
    concept: str, site: int, strength: float, points: Sequence[Point], without: str = ""
) -> list[float]:
    """What the random directions but one do to a concept's readout, one value for each."""
    return [
        p.lifts[concept]
        for p in points
        if p.own is None and p.site == site and p.strength == strength and p.name != without
    ]


def _finding(name: str, concept: str, site: int, points: Sequence[Point]) -> Finding:
    """What a direction does to a concept's readout; its own, but for random directions."""
    own = [p for p in points if p.name == name and p.site == site]
    limit = collapse_dose(own)
    below = [p for p in own if limit is None or p.strength < limit]
    scored = []
    for point in below:
        others = null(concept, site, point.strength, points, without=name)
        share = share_exceeded(point.lifts[concept], others) if others else None
        scored.append((-1.0 if share is None else share, point.lifts[concept], point.strength))
    if not scored:
        return Finding(concept, site, limit, None, None, None)
    share, lift, strength = max(scored)
    return Finding(concept, site, limit, strength, lift, None if share < 0 else share)


def _chance(site: int, points: Sequence[Point], settings: Settings) -> Chance:
    found = [
        _finding(control, concept, site, points)
        for control in settings.controls
        for concept in settings.concepts
    ]
    return Chance(site, sum(f.steers for f in found), len(found))


def summary(found: Sequence[Finding], settings: Settings, by_chance: Sequence[Chance] = ()) -> str:
    """The findings as text."""
    lines = []
    for site in settings.sites:
        here = [f for f in found if f.site == site]
        if settings.controls:
            lines.append(
                f"site {site}: {sum(f.steers for f in here)} of {len(here)} concepts move their "
                f"own readout more than {EXCEEDED:.0%} of {len(settings.controls)} random "
                "directions do, at a strength where the text holds together"
            )
        else:
            lines.append(
                f"site {site}: the pack has no random directions, so there is no null; serve one "
                "that `vagus-server experiment controls` wrote"
            )
        lines += [
            "  by chance: a random direction, judged by the same rule against the others, does in "
            f"{c.steers / c.of:.0%} of cases ({c.steers} of {c.of})"
            for c in by_chance
            if c.site == site
        ]
        for f in here:
            collapse = "none measured" if f.collapse_dose is None else f"{f.collapse_dose:g}"
            best = (
                "no coherent strength"
                if f.best_strength is None
                else f"lift {f.lift:+.2f} at {f.best_strength:g}"
            )
            share = "" if f.exceeded is None else f", above {f.exceeded:.0%} of random directions"
            lines.append(f"  {f.concept:16} collapse {collapse:14} {best}{share}")
        lines += _median(here)
    return "\n".join(lines)


def _median(here: Sequence[Finding]) -> list[str]:
    doses = [f.collapse_dose for f in here if f.collapse_dose is not None]
    if not doses:
        return []
    return [f"  median collapse dose {np.median(doses):g} ({len(doses)} of {len(here)} collapsed)"]
