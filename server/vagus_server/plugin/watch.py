"""Policies, token by token: where smoothed readouts pass their bounds.

This runs in the scheduler, between two steps, so that what a token's readout decides holds from
the next step that is scheduled on, however slow the reader of the answer is. Requests with equal
policies are looked at together.
"""

from collections.abc import Iterator, Mapping
from itertools import repeat
from typing import NamedTuple, Self

import numpy as np

from vagus_server.plugin.bounds import Bounds
from vagus_server.plugin.wire import OrderPolicy, Step


class Crossing(NamedTuple):
    """A request's policy has passed a bound at a token."""

    id: str
    policy: int
    begins: bool
    position: int
    value: float


class Rows(NamedTuple):
    """What a step has read.

    Where a request was changed its parts follow one another; they are one request here.
    """

    ids: list[str]
    #: int64 [n], how many rows were read of each.
    counts: np.ndarray
    #: int32 [rows].
    positions: np.ndarray
    #: float32 [rows, readout sites, concepts, 2].
    readouts: np.ndarray

    @classmethod
    def of(cls, step: Step, row_shape: tuple[int, int, int]) -> Self:
        """Those of a step; row_shape is readout sites, concepts, 2."""
        ids, counts = step.ids, step.array("spans", -1, 5)[:, 2].astype(np.int64)
        if len(set(ids)) < len(ids):
            first = [j for j, id in enumerate(ids) if j == 0 or id != ids[j - 1]]
            ids, counts = [ids[j] for j in first], np.add.reduceat(counts, first)
        positions = step.array("positions", -1)
        return cls(ids, counts, positions, step.array("readouts", len(positions), *row_shape))


class _Part(NamedTuple):
    """Some of a step's requests: all that are watched of one group."""

    group: Bounds
    #: int64 [n] each: which requests of the step, and their indices in the group.
    requests: np.ndarray
    entries: np.ndarray


class _Plan(NamedTuple):
    """Who is who in a step: the same in the next, unless a request has come or gone."""

    ids: list[str]
    #: int64 [n], by request of the step: its index in `Watches`, or -1.
    who: np.ndarray
    #: Of those that are watched: which of the step's they are, and their indices.
    watched: np.ndarray
    watches: np.ndarray
    parts: list[_Part]


class Watches:
    """The policies of all running requests.

    What most requests bring in a step, one row, is looked at for all of them at once.

    Args:
        row_shape: readout sites, concepts, 2.
    """

    def __init__(self, row_shape: tuple[int, int, int]) -> None:
        self._row_shape = row_shape
        self._groups: list[Bounds] = []
        self._number: dict[tuple[OrderPolicy, ...], int] = {}
        self._index: dict[str, int] = {}
        self._free: list[int] = []
        self._plan: _Plan | None = None
        #: By request: the next position that counts; its group, and its index there.
        self._next = np.zeros(0, dtype=np.int64)
        self._group = np.zeros(0, dtype=np.int64)
        self._entry = np.zeros(0, dtype=np.int64)

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._index

    def __len__(self) -> int:
        return len(self._index)

    def add(self, request_id: str, policies: tuple[OrderPolicy, ...], position: int) -> None:
        """Watches a request from a position on: its last prompt token's."""
        if request_id in self._index:
            return
        self._plan = None
        number = self._number.get(policies)
        if number is None:
            number = self._number[policies] = len(self._groups)
            self._groups.append(Bounds(policies))
        if not self._free:
            before = len(self._next)
            size = max(16, 2 * before)
            self._free = list(range(size - 1, before - 1, -1))
            for name in ("_next", "_group", "_entry"):
                setattr(self, name, np.resize(getattr(self, name), size))
        i = self._index[request_id] = self._free.pop()
        self._next[i], self._group[i] = position, number
        self._entry[i] = self._groups[number].add()

    def remove(self, request_id: str) -> None:
        """Forgets a request."""
        i = self._index.pop(request_id, None)
        if i is None:
            return
        self._plan = None
        self._groups[self._group[i]].remove(int(self._entry[i]))
        self._free.append(i)
        if not self._index:
            # Policies of earlier configurations do not pile up.
            self._groups.clear()
            self._number.clear()

    def rows(self, step: Step) -> Rows:
        """What a step has read."""
        return Rows.of(step, self._row_shape)

    def several(self, rows: Rows) -> list[str]:
        """The watched requests of which a step has more than one row."""
        return [id for j in np.flatnonzero(rows.counts > 1) if (id := rows.ids[j]) in self._index]

    def see(self, rows: Rows, ends: Mapping[str, int]) -> list[Crossing]:
        """Looks at what a step has read, in the order of each request's tokens.

        Args:
            rows: of one pass.
            ends: of each of `several`, one past the last position that stands: drafts that were
                rejected do not count, nor what was cut away behind a stop string.
        """
        plan = self._planned(rows.ids)
        if (rows.counts == 1).all():
            due = self._next[plan.watches]
            if (rows.positions[plan.watched] == due).all():
                self._next[plan.watches] = due + 1
                parts = [(part, part.requests) for part in plan.parts]
                return [found for part in parts for found in _crossings(rows, *part)]
        return [
            found
            for requests, at in self._waves(rows, plan.who, ends)
            for part in self._parts(plan.who, requests)
            for found in _crossings(rows, part, at[np.searchsorted(requests, part.requests)])
        ]

    def _planned(self, ids: list[str]) -> _Plan:
        plan = self._plan
        if plan is None or plan.ids != ids:
            who = np.fromiter(map(self._index.get, ids, repeat(-1)), np.int64, len(ids))
            watched = np.flatnonzero(who >= 0)
            plan = _Plan(ids, who, watched, who[watched], self._parts(who, watched))
            self._plan = plan
        return plan

    def _parts(self, who: np.ndarray, requests: np.ndarray) -> list[_Part]:
        """Some of a step's requests, ascending, by group."""
        groups, entries = self._group[who[requests]], self._entry[who[requests]]
        return [
            _Part(self._groups[number], requests[groups == number], entries[groups == number])
            for number in np.unique(groups).tolist()
        ]

    def _waves(
        self, rows: Rows, who: np.ndarray, ends: Mapping[str, int]
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Requests, ascending, with a row of each that counts now; their first rows come first."""
        counts, positions = rows.counts, rows.positions
        first = np.cumsum(counts) - counts
        single = np.flatnonzero((who >= 0) & (counts == 1))
        single = single[positions[first[single]] == self._next[who[single]]]
        self._next[who[single]] += 1
        yield single, first[single]
        waves: list[list[tuple[int, int]]] = []
        for j in np.flatnonzero((who >= 0) & (counts > 1)).tolist():
            end, mine = ends.get(rows.ids[j], 0), range(int(first[j]), int(first[j] + counts[j]))
            for wave, row in enumerate(self._standing(who[j], end, positions, mine)):
                if wave == len(waves):
                    waves.append([])
                waves[wave].append((j, row))
        for some in waves:
            requests, at = np.array(some).T
            yield requests, at

    def _standing(self, i: int, end: int, positions: np.ndarray, rows: range) -> list[int]:
        """The rows of a request that count now, in order."""
        standing = []
        for row in rows:
            if positions[row] == self._next[i] < end:
                self._next[i] += 1
                standing.append(row)
        return standing


def _crossings(rows: Rows, part: _Part, at: np.ndarray) -> list[Crossing]:
    """What one row of each request of a part, at these indices, leads to."""
    return [
        Crossing(rows.ids[part.requests[n]], policy, begins, int(rows.positions[at[n]]), value)
        for n, policy, begins, value in part.group.see(part.entries, at, rows.readouts)
    ]
