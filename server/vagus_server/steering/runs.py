"""The device's marks, kept as runs of positions on which it did the same."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Table:
    """Some runs, n of them, ascending and disjoint.

    Args:
        starts, ends: int64 [n], half-open positions.
        marks: int32 [n, sites]: bit p is set where operation p acted.
    """

    starts: np.ndarray
    ends: np.ndarray
    marks: np.ndarray

    @property
    def tokens(self) -> np.ndarray:
        """How long each run is, int64 [n]."""
        return self.ends - self.starts


class Runs:
    """Collects marks; those that come later take the place of what was there from them on.

    Args:
        sites: number of sites of the model.
    """

    def __init__(self, sites: int) -> None:
        self._sites = sites
        #: First position, one past the last, marks int32 [sites].
        self._runs: list[tuple[int, int, np.ndarray]] = []

    def add(self, start: int, marks: np.ndarray) -> None:
        """Takes marks int32 [tokens, sites] of the positions from start on."""
        runs = self._runs
        while runs and runs[-1][1] > start:
            first, _, row = runs.pop()
            if first < start:
                runs.append((first, start, row))
        cuts = np.flatnonzero((marks[1:] != marks[:-1]).any(axis=1)) + 1
        for a, b in pairwise([0, *cuts.tolist(), len(marks)]):
            row = marks[a]
            if runs and runs[-1][1] == start + a and (runs[-1][2] == row).all():
                runs[-1] = (runs[-1][0], start + b, runs[-1][2])
            else:
                runs.append((start + a, start + b, row.copy()))

    def between(self, start: int, end: int) -> Table:
        """The runs of the positions [start, end), cut to them."""
        some = [run for run in self._runs if run[0] < end and start < run[1]]
        bounds = np.array([run[:2] for run in some], dtype=np.int64).reshape(-1, 2)
        starts, ends = bounds.clip(start, end).T
        marks = np.array([run[2] for run in some], dtype=np.int32).reshape(-1, self._sites)
        return Table(starts, ends, marks)
