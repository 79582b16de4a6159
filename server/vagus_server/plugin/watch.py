"""Policies, token by token: where smoothed readouts pass their bounds.

This runs in the scheduler, between two steps, so that what a token's readout decides holds from
the next step that is scheduled on, however slow the reader of the answer is. Requests with equal
policies are looked at together.
"""

from collections.abc import Mapping
from itertools import repeat
from typing import NamedTuple

import numpy as np

from vagus_server.plugin.wire import OrderPolicy, Step

_AFTER = 1


class Crossing(NamedTuple):
    """A request's policy has passed a bound at a token."""

    id: str
    policy: int
    begins: bool
    position: int
    value: float


class _Group:
    """Requests with the same policies. State is [requests, policies]."""

    def __init__(self, policies: tuple[OrderPolicy, ...]) -> None:
        def column(name: str) -> np.ndarray:
            return np.array([getattr(policy, name) for policy in policies])

        self._sites, self._concepts = column("site"), column("concept")
        self._means = column("mean")
        self._scales = column("sign") / column("deviation")
        self._begin, self._cease = column("begin"), column("cease")
        self._share, self._after = column("share"), column("after")
        self._free: list[int] = []
        self._tokens = np.zeros(0, dtype=np.int64)
        self._smoothed = np.zeros((0, len(policies)))
        self._acting = np.zeros((0, len(policies)), dtype=bool)

    def add(self) -> int:
        """Room for one more request; gives its index."""
        if not self._free:
            before = len(self._tokens)
            size = max(16, 2 * before)
            self._free = list(range(size - 1, before - 1, -1))
            self._tokens = np.resize(self._tokens, size)
            self._smoothed = np.resize(self._smoothed, (size, self._smoothed.shape[1]))
            self._acting = np.resize(self._acting, (size, self._acting.shape[1]))
        index = self._free.pop()
        self._tokens[index], self._smoothed[index], self._acting[index] = 0, 0.0, False
        return index

    def remove(self, index: int) -> None:
        """Forgets a request."""
        self._free.append(index)

    def see(
        self, who: np.ndarray, rows: np.ndarray, readouts: np.ndarray
    ) -> list[tuple[int, int, bool, float]]:
        """One token of each of some requests.

        Args:
            who: their indices here.
            rows: where their readouts lie.
            readouts: [rows, readout sites, concepts, 2].

        Returns:
            Of each crossing: which of `who`, which policy, whether it begins, the smoothed z.
        """
        z = readouts[rows[:, None], self._sites, self._concepts, _AFTER] - self._means
        z *= self._scales
        self._tokens[who] += 1
        tokens = self._tokens[who][:, None]
        before, acting = self._smoothed[who], self._acting[who]
        # A plain mean until it has as many tokens as the smoothing spans.
        smoothed = before + np.maximum(self._share, 1 / tokens) * (z - before)
        # What is not a number begins: a policy must not be blind where the model overflows.
        begins = ~acting & ~(smoothed < self._begin) & (tokens >= self._after)
        ceases = acting & (smoothed < self._cease)
        self._smoothed[who], self._acting[who] = smoothed, (acting | begins) & ~ceases
        return [
            (j, k, bool(begins[j, k]), float(smoothed[j, k]))
            for j, k in np.argwhere(begins | ceases).tolist()
        ]


class Watches:
    """The policies of all running requests.

    What most requests bring in a step, one row, is looked at for all of them at once.

    Args:
        row_shape: readout sites, concepts, 2.
    """

    def __init__(self, row_shape: tuple[int, int, int]) -> None:
        self._row_shape = row_shape
        self._groups: list[_Group] = []
        self._number: dict[tuple[OrderPolicy, ...], int] = {}
        self._index: dict[str, int] = {}
        self._free: list[int] = []
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
        number = self._number.get(policies)
        if number is None:
            number = self._number[policies] = len(self._groups)
            self._groups.append(_Group(policies))
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
        self._groups[self._group[i]].remove(int(self._entry[i]))
        self._free.append(i)
        if not self._index:
            # Policies of earlier configurations do not pile up.
            self._groups.clear()
            self._number.clear()

    def several(self, step: Step) -> list[str]:
        """The watched requests of which a step has more than one row."""
        ids, counts = _read(step)
        return [id for j in np.flatnonzero(counts > 1) if (id := ids[j]) in self._index]

    def see(self, step: Step, ends: Mapping[str, int]) -> list[Crossing]:
        """Looks at what a step has read, in the order of each request's tokens.

        Args:
            step: what one pass did.
            ends: of each of `several`, one past the last position that stands: drafts that were
                rejected do not count, nor what was cut away behind a stop string.
        """
        ids, counts = _read(step)
        who = np.fromiter(map(self._index.get, ids, repeat(-1)), np.int64, len(ids))
        first = np.cumsum(counts) - counts
        positions = step.array("positions", -1)
        single = np.flatnonzero((who >= 0) & (counts == 1))
        single = single[positions[first[single]] == self._next[who[single]]]
        self._next[who[single]] += 1
        waves: list[list[tuple[int, int]]] = []
        for j in np.flatnonzero((who >= 0) & (counts > 1)).tolist():
            rows = range(int(first[j]), int(first[j] + counts[j]))
            for wave, row in enumerate(
                self._standing(who[j], ends.get(ids[j], 0), positions, rows)
            ):
                if wave == len(waves):
                    waves.append([])
                waves[wave].append((j, row))
        found: list[Crossing] = []
        readouts = step.array("readouts", len(positions), *self._row_shape)
        parts = [np.stack([single, first[single]]), *(np.array(wave).T for wave in waves)]
        for part in parts:
            requests, rows_of = part[0], part[1]
            groups = self._group[who[requests]]
            for number in np.unique(groups).tolist():
                mine = groups == number
                asked, rows_here = requests[mine], rows_of[mine]
                entries = self._entry[who[asked]]
                found += [
                    Crossing(ids[asked[n]], policy, begins, int(positions[rows_here[n]]), value)
                    for n, policy, begins, value in self._groups[number].see(
                        entries, rows_here, readouts
                    )
                ]
        return found

    def _standing(self, i: int, end: int, positions: np.ndarray, rows: range) -> list[int]:
        """The rows of a request that count now, in order."""
        standing = []
        for row in rows:
            if positions[row] == self._next[i] < end:
                self._next[i] += 1
                standing.append(row)
        return standing


def _read(step: Step) -> tuple[list[str], np.ndarray]:
    """The requests of a step, and int64 [n], how many rows were read of each.

    Where a request was changed its parts follow one another; they are one request here.
    """
    ids, counts = step.ids, step.array("spans", -1, 5)[:, 2].astype(np.int64)
    if len(set(ids)) == len(ids):
        return ids, counts
    first = [j for j, id in enumerate(ids) if j == 0 or id != ids[j - 1]]
    return [ids[j] for j in first], np.add.reduceat(counts, first)
