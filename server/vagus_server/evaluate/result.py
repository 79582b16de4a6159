"""What a check hands over: figures with intervals and nulls, tables, pictures."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Null:
    """What a figure is by chance: with random directions, and with shuffled labels."""

    random: np.ndarray | None = None
    shuffled: np.ndarray | None = None


@dataclass(frozen=True)
class Figure:
    """One number.

    Args:
        name: what it is.
        value: the number.
        interval: its 95 % interval.
        null: its values where there is nothing to find.
        floor: the least that a good pack has.
        percent: shown as a percentage.
        note: shown beside it.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    null: Null = Null()
    floor: float | None = None
    percent: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the floor is met, and by the interval's lower bound too."""
        if self.floor is None:
            return ""
        if not self.value >= self.floor:
            return "missed"
        if self.interval is not None and self.interval[0] < self.floor:
            return "met; lower bound below"
        return "met"

    def as_json(self) -> dict[str, Any]:
        """All of it, in numbers."""
        row: dict[str, Any] = {"name": self.name, "value": _number(self.value)}
        if self.interval is not None:
            row["interval_95"] = [_number(x) for x in self.interval]
        for kind in ("random", "shuffled"):
            draws = getattr(self.null, kind)
            if draws is not None and len(draws):
                row[f"null_{kind}"] = {
                    "draws": len(draws),
                    "mean": _number(np.mean(draws)),
                    "percentile_95": _number(np.quantile(draws, 0.95)),
                    "greatest": _number(np.max(draws)),
                }
        if self.floor is not None:
            row |= {"floor": self.floor, "verdict": self.verdict}
        if self.note:
            row["note"] = self.note
        return row


def _number(value: Any) -> float | None:
    number = round(float(value), 5)
    return number if np.isfinite(number) else None


@dataclass(frozen=True)
class Table:
    """Rows under a heading; long ones are folded away."""

    title: str
    columns: list[str]
    rows: list[list[Any]]
    folded: bool = True


@dataclass(frozen=True)
class Picture:
    """A PNG.

    Args:
        name: of its file.
        caption: what it shows.
        png: the file's contents.
    """

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Section:
    """One check of the report.

    Args:
        key: its name in the JSON.
        title: its heading.
        method: how it is measured, a paragraph each.
    """

    key: str
    title: str
    method: list[str]
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    #: Further numbers, for the JSON alone.
    data: dict[str, Any] = field(default_factory=dict)
