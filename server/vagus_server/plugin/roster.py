"""The requests that a worker knows, with what holds for each of their positions.

What most requests need in a step is kept in arrays, one entry for each program of a request: one,
unless it was changed while it ran. Then the rows of a pass are laid out by parts of requests, and
nothing but this file knows that they are parts.
"""

from itertools import repeat
from typing import NamedTuple

import numpy as np

from vagus_kernels.step import SCALE
from vagus_server.plugin.orders import RowFlags, RowScales
from vagus_server.plugin.slots import Slots
from vagus_server.plugin.wire import Order

NO_SLOT = -1
#: The entry of requests without an order.
NOBODY = 0


class Parts(NamedTuple):
    """The parts of requests that a pass processes, in the order of their rows."""

    ids: list[str]
    #: int64 [n] each: entry, rows, position of the first row.
    entries: np.ndarray
    tokens: np.ndarray
    starts: np.ndarray


class Roster:
    """Entries by request, in arrays.

    Args:
        count: of program slots.
    """

    #: int64 [entries] each: slot of the program, or NO_SLOT while it has none.
    slot: np.ndarray
    #: Flags of the positions in [since, until), those around the last that `settle` was given.
    since: np.ndarray
    until: np.ndarray
    steady: np.ndarray
    #: The position from which on nothing is scaled.
    scaled_until: np.ndarray
    #: The first position that the entry holds for.
    first: np.ndarray

    def __init__(self, count: int) -> None:
        self.slots = Slots(count)
        #: Another one whenever anything of the requests has changed.
        self.version = 0
        self.orders: list[Order | None] = []
        self.flags: list[RowFlags] = []
        #: As in a step's message, int32 [n, 4].
        self.scales: list[np.ndarray] = []
        self._index: dict[str, int] = {}
        #: Entries that held before the one in `_index`, ascending, of changed requests.
        self._earlier: dict[str, list[int]] = {}
        self._free: list[int] = []
        self._grow(64)
        self._free.remove(NOBODY)

    def _grow(self, count: int) -> None:
        size = len(self.orders)
        self._free += range(size + count - 1, size - 1, -1)
        self.orders += [None] * count
        self.flags += [RowFlags(())] * count
        self.scales += [np.zeros((0, SCALE), dtype=np.int32)] * count
        more = np.zeros(count, dtype=np.int64)
        for name in ("slot", "since", "until", "steady", "scaled_until", "first"):
            setattr(self, name, np.concatenate([getattr(self, name, more[:0]), more]))

    def add(self, request_id: str, order: Order) -> None:
        """Notes a request's order when it is first scheduled; again after a preemption."""
        if request_id not in self._index:
            self.version += 1
            self._index[request_id] = self._enter(order, 0)

    def change(self, request_id: str, start: int, order: Order) -> None:
        """From a position on, another order holds. Nothing at or past it was processed yet."""
        self.version += 1
        earlier = self._earlier.setdefault(request_id, [])
        earlier.append(self._index[request_id])
        while earlier and self.first[earlier[-1]] >= start:
            self._leave(earlier.pop())
        i = self._index[request_id] = self._enter(order, start)
        # A program that was taken away has a slot too, with nothing in it: the rows are then
        # marked, which proves that what was asked before does not hold.
        self.slot[i] = NO_SLOT

    def pause(self, request_id: str) -> None:
        """Gives a preempted request's slots back; its orders stay for when it resumes."""
        self.version += 1
        for i in self._entries(request_id):
            self._release(i)

    def finish(self, request_id: str) -> None:
        """Forgets a request."""
        self.version += 1
        for i in self._entries(request_id):
            self._leave(i)
        self._index.pop(request_id, None)
        self._earlier.pop(request_id, None)

    def _entries(self, request_id: str) -> list[int]:
        current = self._index.get(request_id)
        return [] if current is None else [*self._earlier.get(request_id, ()), current]

    def _enter(self, order: Order, first: int) -> int:
        if not self._free:
            self._grow(len(self.orders))
        i = self._free.pop()
        self.orders[i], self.flags[i], self.first[i] = order, RowFlags.of(order), first
        self.since[i] = self.until[i] = 0
        self.scales[i], self.scaled_until[i] = RowScales.of(order)
        self.slot[i] = NO_SLOT if order.operations else 0
        return i

    def _leave(self, i: int) -> None:
        self._release(i)
        self.orders[i] = None
        self._free.append(i)

    def _release(self, i: int) -> None:
        order = self.orders[i]
        if order is not None and self.slot[i] > 0:
            self.slots.release(order.digest)
            self.slot[i] = NO_SLOT

    def order(self, i: int) -> Order:
        """The order of an entry that is in use."""
        order = self.orders[i]
        assert order is not None
        return order

    def settle(self, who: np.ndarray, starts: np.ndarray) -> None:
        """Makes `since`, `until` and `steady` of some entries those around a position of each."""
        outside = (starts < self.since[who]) | (starts >= self.until[who])
        for j in np.flatnonzero(outside).tolist():
            i = who[j]
            self.since[i], self.until[i], self.steady[i] = self.flags[i].piece(int(starts[j]))

    def refers_to(self, vector: int) -> bool:
        """Whether a known request's program uses a row of the vector bank."""
        return any(
            vector in (operation.vector, operation.gate and operation.gate.vector)
            for order in self.orders
            if order is not None
            for operation in order.operations
        )

    def __len__(self) -> int:
        return len(self._index)

    def parts(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> Parts:
        """The parts of a pass's requests; see `Batch.begin` for the arguments."""
        who = np.fromiter(map(self._index.get, ids, repeat(NOBODY)), np.int64, len(ids))
        plain = Parts(list(ids), who, tokens, starts)
        across = starts < self.first[who]
        if not across.any():
            return plain
        parts: list[tuple[str, int, int, int]] = []
        for j, request_id in enumerate(ids):
            start, count = int(starts[j]), int(tokens[j])
            if across[j]:
                parts += self._split(request_id, start, count)
            else:
                parts.append((request_id, int(who[j]), count, start))
        names, *columns = zip(*parts, strict=True)
        return Parts(list(names), *(np.array(column, dtype=np.int64) for column in columns))

    def _split(self, request_id: str, start: int, count: int) -> list[tuple[str, int, int, int]]:
        entries = self._entries(request_id)
        ends = [int(self.first[i]) for i in entries[1:]] + [start + count]
        parts = []
        for i, end in zip(entries, ends, strict=True):
            first, last = max(start, int(self.first[i])), min(start + count, end)
            if first < last:
                parts.append((request_id, i, last - first, first))
        return parts
