"""How often a behaviour occurs, by direction and strength."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from vagus_server.experiments.picture import BLUE, GREEN, GREY, RED, figure, save
from vagus_server.experiments.session import is_control
from vagus_server.experiments.statistics import Estimate, pooled, wilson

_UNSTEERED = "unsteered"
_COLOURS = (RED, BLUE, GREEN)


@dataclass(frozen=True)
class Cell:
    """A direction and a strength; the unsteered cell has the name "" and strength 0."""

    name: str
    strength: float


@dataclass(frozen=True)
class Rate:
    """How often the behaviour occurred in a cell, with its interval."""

    cell: Cell
    hits: int
    trials: int
    rate: Estimate

    def __str__(self) -> str:
        name = f"{self.cell.name} {self.cell.strength:+g}" if self.cell.name else _UNSTEERED
        r = self.rate
        interval = f"[{r.low:.0%}, {r.high:.0%}]"
        return f"{name:22} {self.hits:3} of {self.trials:3}  {r.value:.0%} {interval}"


def cells(names: Sequence[str], strengths: Sequence[float]) -> list[Cell]:
    """The unsteered cell, then every direction at every strength but 0."""
    steered = [Cell(name, s) for name, s in product(names, strengths) if s != 0]
    return [Cell("", 0.0), *steered]


def first_seeds(of: Sequence[Cell], seed: int) -> dict[Cell, int]:
    """The seed of each cell's first rollout; others count up from it, fewer than 10 000.

    The unsteered model and the concepts share seeds: they are compared. Each random direction has
    its own: they are pooled, and the same draws would count several times.
    """
    names = dict.fromkeys(cell.name for cell in of if is_control(cell.name))
    numbers = {name: number for number, name in enumerate(names, start=1)}
    return {cell: (seed * 1000 + numbers.get(cell.name, 0)) * 10_000 for cell in of}


def rates(of: Sequence[tuple[Cell, bool]]) -> list[Rate]:
    """One rate per cell with Wilson's interval, in the order of first occurrence."""
    found = []
    for cell in dict.fromkeys(cell for cell, _ in of):
        hits = [hit for other, hit in of if other == cell]
        found.append(Rate(cell, sum(hits), len(hits), wilson(sum(hits), len(hits))))
    return found


def pooled_controls(found: Sequence[Rate]) -> list[Rate]:
    """The random directions' trials pooled, one rate per strength; see `pooled`."""
    rates_of = [
        (strength, [r for r in found if _control(r) and r.cell.strength == strength])
        for strength in dict.fromkeys(r.cell.strength for r in found if _control(r))
    ]
    return [
        Rate(
            Cell("random", strength),
            sum(r.hits for r in own),
            sum(r.trials for r in own),
            pooled([r.hits for r in own], [r.trials for r in own]),
        )
        for strength, own in rates_of
    ]


def summary(found: Sequence[Rate], absent: str) -> str:
    """The rates as text; `absent` is said when the behaviour never occurred."""
    lines = [
        str(rate) for rate in [*(r for r in found if not _control(r)), *pooled_controls(found)]
    ]
    if not any(map(_control, found)):
        lines.append("no random directions are served, so there is no null for these rates")
    if not any(rate.hits for rate in found):
        lines.append(absent)
    return "\n".join(lines)


def draw(found: Sequence[Rate], what: str, out: Path, name: str) -> Path:
    """Rate against strength, one line per concept, the pooled controls in grey."""
    drawn, (panel,) = figure(1, 1, (6, 4))
    unsteered = [r for r in found if not r.cell.name]
    names = dict.fromkeys(r.cell.name for r in found if r.cell.name and not _control(r))
    lines = [(n, [r for r in found if r.cell.name == n]) for n in names]
    colours = [_COLOURS[i % len(_COLOURS)] for i in range(len(lines))]
    if pooled := pooled_controls(found):
        lines.append(("random directions, pooled", pooled))
        colours.append(GREY)
    for (label, own), colour in zip(lines, colours, strict=True):
        points = sorted([*own, *unsteered], key=lambda r: r.cell.strength)
        estimates = [r.rate for r in points]
        errors = [
            [e.value - e.low for e in estimates],
            [e.high - e.value for e in estimates],
        ]
        x = [r.cell.strength for r in points]
        y = [e.value for e in estimates]
        panel.errorbar(x, y, yerr=errors, color=colour, label=label, marker="o", ms=3, capsize=2)
    panel.set_ylim(-0.02, 1.02)
    panel.set_xlabel("strength, mean residual norms")
    panel.set_ylabel(f"rate of {what}, 95 %")
    panel.legend()
    return save(drawn, out, name)


def _control(rate: Rate) -> bool:
    return is_control(rate.cell.name)
