"""The requests that a worker knows, and what the next forward pass must know of them.

Runs once a step for every request in the batch, so what most requests need is kept in arrays
and done for all at once; only requests near the bounds of their ranges are looked at singly.
"""

from dataclasses import dataclass
from itertools import repeat

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_kernels.step import RANGE, SCALE, Step
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.orders import RowFlags, covered
from vagus_server.plugin.programs import Program, encode_program
from vagus_server.plugin.slots import Slots
from vagus_server.plugin.wire import Order

_NONE = np.zeros(0, dtype=np.int32)
_NO_SLOT = -1
#: Stands for requests without an order.
_NOBODY = 0


@dataclass(frozen=True)
class Layout:
    """The requests of a pass and their rows."""

    ids: list[str]
    #: int32 [n, 5]: see `wire.Step.spans`.
    spans: np.ndarray
    #: int32 [rows read].
    positions: np.ndarray


class Batch:
    """Orders by request, and the message for each step.

    Args:
        config: sizes of the tables.
        inverse_norms: float32 [sites, vectors], 1 / |v|; read anew for each program.
        table_rows: rows of the tables.
    """

    def __init__(self, config: PluginConfig, inverse_norms: np.ndarray, table_rows: int) -> None:
        self._config = config
        self._inverse_norms = inverse_norms
        self._table_rows = table_rows
        self.slots = Slots(config.slots)
        self._index: dict[str, int] = {}
        self._free: list[int] = []
        self._orders: list[Order | None] = []
        self._flags: list[RowFlags] = []
        self._grow(64)
        self._free.remove(_NOBODY)
        #: By slot: where its program acts or tests, and which steps it measures.
        self._sites = np.zeros((config.slots, config.sites), dtype=bool)
        self._measured: dict[int, np.ndarray] = {}
        self._measures = np.zeros(config.slots, dtype=np.int32)
        self._rows_before = 0
        self.layout: Layout | None = None

    def _grow(self, count: int) -> None:
        size = len(self._orders)
        self._free += range(size + count - 1, size - 1, -1)
        self._orders += [None] * count
        self._flags += [RowFlags((), 0, 0)] * count
        arrays = {"slot": 0, "steady_from": 0, "steady": 0, "scaled": 0}
        for name, fill in arrays.items():
            more = np.full(count, fill, dtype=np.int64)
            old = getattr(self, f"_{name}", more[:0])
            setattr(self, f"_{name}", np.concatenate([old, more]))

    _slot: np.ndarray
    _steady_from: np.ndarray
    _steady: np.ndarray
    #: Whether a request has envelopes.
    _scaled: np.ndarray

    def add(self, request_id: str, order: Order) -> None:
        """Notes a request's order when it is first scheduled; again after a preemption."""
        if request_id in self._index:
            return
        if not self._free:
            self._grow(len(self._orders))
        i = self._index[request_id] = self._free.pop()
        flags = RowFlags.of(order)
        self._orders[i], self._flags[i] = order, flags
        self._steady_from[i], self._steady[i] = flags.steady_from, flags.steady
        self._slot[i] = _NO_SLOT if order.operations else 0
        self._scaled[i] = any(o.envelope is not None for o in order.operations)

    def pause(self, request_id: str) -> None:
        """Gives a preempted request's slot back; its order stays for when it resumes."""
        i = self._index.get(request_id)
        if i is not None:
            self._release(i)

    def finish(self, request_id: str) -> None:
        """Forgets a request."""
        i = self._index.pop(request_id, None)
        if i is not None:
            self._release(i)
            self._orders[i] = None
            self._free.append(i)

    def _release(self, i: int) -> None:
        order = self._orders[i]
        if order is not None and self._slot[i] > 0:
            self.slots.release(order.digest)
            self._slot[i] = _NO_SLOT

    def refers_to(self, vector: int) -> bool:
        """Whether a known request's program uses a row of the vector bank."""
        return any(
            vector in (operation.vector, operation.gate and operation.gate.vector)
            for order in self._orders
            if order is not None
            for operation in order.operations
        )

    @property
    def known(self) -> int:
        """Number of requests whose orders are held."""
        return len(self._index)

    def begin(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> Step | None:
        """Lays out a pass's rows. None: nothing is steered or read, now or in the pass before.

        Args:
            ids: requests in the order of their rows.
            tokens: int [n], rows of each.
            starts: int [n], position of each one's first row.
        """
        who = np.fromiter(map(self._index.get, ids, repeat(_NOBODY)), np.int64, len(ids))
        if not who.any():
            self.layout = None
            return self._cleared()
        fresh = self._acquire(who)
        requests = np.zeros((len(who), 8), dtype=np.int32)
        requests[:, 0], requests[:, 1] = np.cumsum(tokens) - tokens, tokens
        requests[:, 2], requests[:, 3] = self._slot[who], starts
        steady = starts >= self._steady_from[who]
        requests[:, 4] = np.where(steady, self._steady[who], 0)
        reads = (requests[:, 4] & READ_FLAG) != 0
        rows_read = [_rows(requests[reads])]
        ranges: list[tuple[int, int, int]] = []
        for j in np.flatnonzero(~steady).tolist():
            self._unsteady(requests[j], int(who[j]), ranges, rows_read)
        scales = self._scales(requests, who)
        return self._message(
            list(ids),
            requests,
            np.array(ranges, dtype=np.int32).reshape(-1, RANGE),
            scales,
            fresh,
            np.sort(np.concatenate(rows_read)).astype(np.int32),
            int(tokens.sum()),
        )

    def _cleared(self) -> Step | None:
        if not self._rows_before:
            return None
        before, self._rows_before = self._rows_before, 0
        nobody = np.zeros((0, 8), dtype=np.int32)
        return self._step(nobody, _NONE, _NONE, {}, _NONE, _NONE, _NONE, 0, before)

    def _acquire(self, who: np.ndarray) -> dict[int, Program]:
        """Slots for those who have none yet; the programs that must be written, by slot."""
        fresh: dict[int, Program] = {}
        for i in who[self._slot[who] == _NO_SLOT].tolist():
            order = self._orders[i]
            assert order is not None
            slot, new = self.slots.acquire(order.digest)
            self._slot[i] = slot
            if new:
                program = encode_program(order, self._config, self._inverse_norms)
                fresh[slot] = program
                self._sites[slot] = program.counts > 0
                self._measured[slot] = program.measured
                self._measures[slot] = len(program.measured)
        return fresh

    def _unsteady(
        self,
        request: np.ndarray,
        i: int,
        ranges: list[tuple[int, int, int]],
        rows_read: list[np.ndarray],
    ) -> None:
        first, tokens, _, start = request[:4].tolist()
        mine = self._flags[i].overlapping(start, tokens)
        request[5], request[6] = len(ranges), len(mine)
        ranges += mine
        order = self._orders[i]
        assert order is not None
        rows_read.append(covered(order.read, start, tokens).astype(np.int64) + (first - start))

    def _scales(self, requests: np.ndarray, who: np.ndarray) -> np.ndarray:
        scales: list[tuple[int, int, int, int]] = []
        for j in np.flatnonzero(self._scaled[who]).tolist():
            order = self._orders[int(who[j])]
            assert order is not None
            at = len(scales)
            for p, operation in enumerate(order.operations):
                envelope = operation.envelope
                if envelope is not None:
                    floats = np.array([envelope.ramp, envelope.half_life], dtype=np.float32)
                    scales.append((p, envelope.origin, *floats.view(np.int32).tolist()))
            requests[j, 7] = at << 8 | len(scales) - at
        return np.array(scales, dtype=np.int32).reshape(-1, SCALE)

    def _message(
        self,
        ids: list[str],
        requests: np.ndarray,
        ranges: np.ndarray,
        scales: np.ndarray,
        fresh: dict[int, Program],
        read: np.ndarray,
        rows: int,
    ) -> Step:
        owner = np.searchsorted(requests[:, 0], read, side="right") - 1
        steered = requests[:, 2] > 0
        spans = np.zeros((len(ids), 5), dtype=np.int32)
        spans[:, 0], spans[:, 1] = requests[:, 3], requests[:, 1]
        spans[:, 2] = np.bincount(owner, minlength=len(ids))
        spans[:, 3] = np.where(steered, requests[:, 1], 0)
        spans[:, 4] = spans[:, 3] * self._measures[requests[:, 2]]
        self.layout = Layout(ids, spans, read - requests[owner, 0] + requests[owner, 3])
        before, self._rows_before = self._rows_before, rows
        return self._step(
            requests,
            ranges,
            scales,
            fresh,
            read,
            _rows(requests[steered]).astype(np.int32),
            self._measured_steps(requests[steered]),
            rows,
            before,
        )

    def _measured_steps(self, steered: np.ndarray) -> np.ndarray:
        """Flat indices into the table of steps, row by row."""
        c, parts = self._config, []
        for first, tokens, slot in steered[self._measures[steered[:, 2]] > 0, :3].tolist():
            site, p = self._measured[slot].T
            rows = np.arange(first, first + tokens)[:, None]
            flat = (site * self._table_rows + rows) * c.operations + p
            parts.append(flat.reshape(-1))
        return np.concatenate(parts).astype(np.int32) if parts else _NONE

    def _step(
        self,
        requests: np.ndarray,
        ranges: np.ndarray,
        scales: np.ndarray,
        fresh: dict[int, Program],
        read: np.ndarray,
        marked: np.ndarray,
        measured: np.ndarray,
        rows: int,
        rows_before: int,
    ) -> Step:
        sites = self._sites[requests[:, 2]].any(0).astype(np.int32)
        if len(read):
            sites |= 2
        programs = list(fresh.values())
        ends = np.cumsum([len(p.entries) for p in programs], dtype=np.int32)
        return Step(
            sites=sites,
            requests=requests,
            ranges=ranges,
            scales=scales,
            programs=np.stack([np.array(list(fresh), dtype=np.int32), ends], axis=1),
            counts=_stack([p.counts for p in programs]),
            vectors=_stack([p.vectors for p in programs]),
            entries=np.concatenate([p.entries for p in programs]) if programs else _NONE,
            read=read,
            marked=marked,
            measured=measured,
            rows=rows,
            rows_before=rows_before,
        )


def _stack(arrays: list[np.ndarray]) -> np.ndarray:
    return np.stack(arrays) if arrays else _NONE


def _rows(requests: np.ndarray) -> np.ndarray:
    """All rows of some requests, int64, in order."""
    tokens = requests[:, 1].astype(np.int64)
    ends = np.cumsum(tokens)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(
        requests[:, 0] - ends + tokens, tokens
    )
