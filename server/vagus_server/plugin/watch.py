"""Policies, token by token: where smoothed readouts pass their bounds.

This runs in the scheduler, between two steps, so that what a token's readout decides holds from
the next step that is scheduled on, however slow the reader of the answer is. Requests with equal
policies are looked at together.
"""

from collections.abc import Mapping
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


class _Seen(NamedTuple):
    """A row that counts: whose, and where it lies."""

    id: str
    entry: int
    position: int
    row: int


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

    def see(self, seen: list[_Seen], readouts: np.ndarray) -> list[Crossing]:
        """One token of each of some requests."""
        who = np.array([one.entry for one in seen])
        rows = np.array([one.row for one in seen])[:, None]
        z = (readouts[rows, self._sites, self._concepts, _AFTER] - self._means) * self._scales
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
            Crossing(seen[j].id, k, bool(begins[j, k]), seen[j].position, float(smoothed[j, k]))
            for j, k in np.argwhere(begins | ceases).tolist()
        ]


class Watches:
    """The policies of all running requests.

    Args:
        row_shape: readout sites, concepts, 2.
    """

    def __init__(self, row_shape: tuple[int, int, int]) -> None:
        self._row_shape = row_shape
        self._groups: dict[tuple[OrderPolicy, ...], _Group] = {}
        self._of: dict[str, tuple[_Group, int]] = {}
        #: The next position that counts, by request.
        self._next: dict[str, int] = {}

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._of

    def __len__(self) -> int:
        return len(self._of)

    def add(self, request_id: str, policies: tuple[OrderPolicy, ...], position: int) -> None:
        """Watches a request from a position on: its last prompt token's."""
        if request_id not in self._of:
            group = self._groups.setdefault(policies, _Group(policies))
            self._of[request_id] = group, group.add()
            self._next[request_id] = position

    def remove(self, request_id: str) -> None:
        """Forgets a request."""
        if request_id in self._of:
            group, index = self._of.pop(request_id)
            group.remove(index)
            del self._next[request_id]
        if not self._of:
            self._groups.clear()  # policies of earlier configurations do not pile up

    def see(self, step: Step, ends: Mapping[str, int]) -> list[Crossing]:
        """Looks at what a step has read, in the order of its tokens.

        Args:
            step: what one pass did.
            ends: by watched request, one past the last position that stands: drafts that were
                rejected do not count, nor what was cut away behind a stop string.
        """
        waves: list[dict[_Group, list[_Seen]]] = []
        positions, read = step.array("positions", -1).tolist(), 0
        for request_id, (_, _, count, _, _) in zip(
            step.ids, step.array("spans", -1, 5).tolist(), strict=True
        ):
            first, read = read, read + count
            if request_id not in ends or request_id not in self._of:
                continue
            group, index = self._of[request_id]
            wave = 0
            for row in range(first, read):
                position = positions[row]
                if position != self._next[request_id] or position >= ends[request_id]:
                    continue
                self._next[request_id] += 1
                if wave == len(waves):
                    waves.append({})
                one = _Seen(request_id, index, position, row)
                waves[wave].setdefault(group, []).append(one)
                wave += 1
        if not waves:
            return []
        readouts = step.array("readouts", len(positions), *self._row_shape)
        return [
            crossing
            for wave_of in waves
            for group, seen in wave_of.items()
            for crossing in group.see(seen, readouts)
        ]
