"""What the next forward pass must know of its requests.

Runs once a step for every request in the batch, so what most requests need is done for all at
once; only requests whose rows lie across bounds of their ranges are looked at singly.
"""

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_kernels.step import RANGE, Step, rows_of
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.orders import covered
from vagus_server.plugin.passes import Layout, Pass
from vagus_server.plugin.programs import Program, encode_program
from vagus_server.plugin.roster import NO_SLOT, Roster

_NONE = np.zeros(0, dtype=np.int32)


class Batch:
    """The message for each step.

    Args:
        config: sizes of the tables.
        inverse_norms: float32 [sites, vectors], 1 / |v|; read anew for each program.
        table_rows: rows of the tables.
    """

    def __init__(self, config: PluginConfig, inverse_norms: np.ndarray, table_rows: int) -> None:
        self._config = config
        self._inverse_norms = inverse_norms
        self._table_rows = table_rows
        self.roster = Roster(config.slots)
        #: By slot: where its program acts or tests, and which steps it measures: indices into
        #: the flat table of steps for row 0, and how many.
        self._sites = np.zeros((config.slots, config.sites), dtype=bool)
        self._measured: dict[int, np.ndarray] = {}
        self._measures = np.zeros(config.slots, dtype=np.int32)
        self._rows_before = 0
        self._last: Pass | None = None
        self.layout: Layout | None = None

    def begin(self, ids: list[str], tokens: np.ndarray, starts: np.ndarray) -> Step | None:
        """Lays out a pass's rows. None: nothing is steered or read, now or in the pass before.

        Args:
            ids: requests in the order of their rows.
            tokens: int [n], rows of each.
            starts: int [n], position of each one's first row.
        """
        roster, last = self.roster, self._last
        if last is not None and last.goes_on(ids, tokens, starts, roster.version):
            self.layout = last.layout
            return last.step
        self._last = None
        asked = ids
        ids, who, tokens, starts = roster.parts(ids, tokens, starts)
        if not who.any():
            self.layout = None
            return self._cleared()
        fresh = self._acquire(who)
        requests = np.zeros((len(who), 8), dtype=np.int32)
        requests[:, 0], requests[:, 1] = np.cumsum(tokens) - tokens, tokens
        requests[:, 2], requests[:, 3] = roster.slot[who], starts
        roster.settle(who, starts)
        steady = starts + tokens <= roster.until[who]
        requests[:, 4] = np.where(steady, roster.steady[who], 0)
        reads = (requests[:, 4] & READ_FLAG) != 0
        rows_read = [rows_of(requests[reads])]
        ranges: list[tuple[int, int, int]] = []
        for j in np.flatnonzero(~steady).tolist():
            self._unsteady(requests[j], int(who[j]), ranges, rows_read)
        scales = self._scales(requests, who)
        read = np.sort(np.concatenate(rows_read)).astype(np.int32)
        owner = np.searchsorted(requests[:, 0], read, side="right") - 1
        step = self._message(
            requests,
            np.array(ranges, dtype=np.int32).reshape(-1, RANGE),
            scales,
            fresh,
            read,
            int(tokens.sum()),
        )
        self.layout = self._layout(ids, requests, read, owner)
        if steady.all() and not len(scales) and len(ids) == len(asked):
            counts, ends, until = tokens.astype(np.int32), starts + tokens, roster.until[who]
            version = roster.version
            self._last = Pass(ids, counts, ends, until, owner, version, step, self.layout)
        return step

    def _cleared(self) -> Step | None:
        if not self._rows_before:
            return None
        before, self._rows_before = self._rows_before, 0
        nobody = np.zeros((0, 8), dtype=np.int32)
        return self._step(nobody, _NONE, _NONE, {}, _NONE, _NONE, _NONE, 0, before)

    def _acquire(self, who: np.ndarray) -> dict[int, Program]:
        """Slots for those who have none yet; the programs that must be written, by slot."""
        fresh: dict[int, Program] = {}
        roster = self.roster
        for i in who[roster.slot[who] == NO_SLOT].tolist():
            order = roster.order(i)
            slot, new = roster.slots.acquire(order.digest)
            roster.slot[i] = slot
            if new:
                program = encode_program(order, self._config, self._inverse_norms)
                fresh[slot] = program
                self._sites[slot] = program.counts > 0
                site, p = program.measured.T
                self._measured[slot] = site * self._table_rows * self._config.operations + p
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
        mine = self.roster.flags[i].overlapping(start, tokens)
        request[5], request[6] = len(ranges), len(mine)
        ranges += mine
        order = self.roster.order(i)
        rows_read.append(covered(order.read, start, tokens).astype(np.int64) + (first - start))

    def _scales(self, requests: np.ndarray, who: np.ndarray) -> np.ndarray:
        scaled = np.flatnonzero(requests[:, 3] < self.roster.scaled_until[who])
        if not len(scaled):
            return _NONE
        records = [self.roster.scales[i] for i in who[scaled].tolist()]
        counts = np.fromiter(map(len, records), np.int32, len(records))
        requests[scaled, 7] = np.cumsum(counts) - counts << 8 | counts
        return np.concatenate(records)

    def _layout(
        self, ids: list[str], requests: np.ndarray, read: np.ndarray, owner: np.ndarray
    ) -> Layout:
        spans = np.zeros((len(ids), 5), dtype=np.int32)
        spans[:, 0], spans[:, 1] = requests[:, 3], requests[:, 1]
        spans[:, 2] = np.bincount(owner, minlength=len(ids))
        spans[:, 3] = np.where(requests[:, 2] > 0, requests[:, 1], 0)
        spans[:, 4] = spans[:, 3] * self._measures[requests[:, 2]]
        return Layout(ids, spans, read - requests[owner, 0] + requests[owner, 3])

    def _message(
        self,
        requests: np.ndarray,
        ranges: np.ndarray,
        scales: np.ndarray,
        fresh: dict[int, Program],
        read: np.ndarray,
        rows: int,
    ) -> Step:
        steered = requests[requests[:, 2] > 0]
        before, self._rows_before = self._rows_before, rows
        return self._step(
            requests,
            ranges,
            scales,
            fresh,
            read,
            rows_of(steered).astype(np.int32),
            self._measured_steps(steered),
            rows,
            before,
        )

    def _measured_steps(self, steered: np.ndarray) -> np.ndarray:
        """Flat indices into the table of steps, row by row."""
        mine = steered[self._measures[steered[:, 2]] > 0]
        if not len(mine):
            return _NONE
        tokens, slots = mine[:, 1], mine[:, 2]
        parts = [
            self._measured[slot] if count == 1 else np.tile(self._measured[slot], count)
            for slot, count in zip(slots.tolist(), tokens.tolist(), strict=True)
        ]
        rows = np.repeat(rows_of(mine), np.repeat(self._measures[slots], tokens))
        flat = np.concatenate(parts) + rows * self._config.operations
        return flat.astype(np.int32)

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
            sites[list(self._config.readout_sites)] |= 2
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
