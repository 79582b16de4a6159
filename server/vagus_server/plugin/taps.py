"""Which rows of a pass go into which sums, each position once however often it is computed.

vLLM starts a preempted request anew from position 0, so that what was summed of it before comes
again: its groups then begin anew, and a readout that has been counted is not counted twice.
Prefix caching is off where anything is tapped, so every request's first pass is at 0 as well.
"""

import numpy as np

from vagus_server.plugin.passes import Layout
from vagus_server.plugin.wire import Order


class Taps:
    """The requests that are summed up, and how far.

    Args:
        groups: of sums.
    """

    def __init__(self, groups: int) -> None:
        self._taps: dict[str, tuple[tuple[int, int, int], ...]] = {}
        #: Rows summed in each group since it was last taken or begun anew.
        self._rows = [0] * groups
        #: Past the last position whose readouts were counted, by request.
        self._read_to: dict[str, int] = {}

    def add(self, request_id: str, order: Order) -> None:
        """Notes a request when it is first scheduled; again after a preemption."""
        if order.tap:
            self._taps[request_id] = order.tap

    def finish(self, request_id: str) -> None:
        """Forgets a request; its groups keep what they have until it is taken."""
        self._taps.pop(request_id, None)
        self._read_to.pop(request_id, None)

    def begin(
        self, ids: list[str], tokens: np.ndarray, starts: np.ndarray
    ) -> tuple[np.ndarray, list[int]]:
        """Lays out a pass.

        Args:
            ids: requests in the order of their rows.
            tokens: int [n], rows of each.
            starts: int [n], position of each one's first row.

        Returns:
            int32 [groups, 2], the rows to be added to each; and the groups that must be 0 first.
        """
        ranges = np.zeros((len(self._rows), 2), dtype=np.int32)
        anew: list[int] = []
        row = 0
        for request_id, count, start in zip(ids, tokens.tolist(), starts.tolist(), strict=True):
            for group, first, end in self._taps.get(request_id, ()):
                if start == 0 and self._rows[group]:
                    anew.append(group)
                    self._rows[group] = 0
                a, b = max(0, first - start), min(end - start, count)
                if a < b:
                    ranges[group] = row + a, row + b
                    self._rows[group] += b - a
            row += count
        return ranges, anew

    def unread(self, layout: Layout) -> np.ndarray:
        """Which of a pass's readouts have not been counted before, bool [rows read]."""
        fresh = np.ones(len(layout.positions), dtype=bool)
        at = 0
        for request_id, count in zip(layout.ids, layout.spans[:, 2].tolist(), strict=True):
            if count:
                mine = layout.positions[at : at + count]
                seen = self._read_to.get(request_id, 0)
                fresh[at : at + count] = mine >= seen
                self._read_to[request_id] = max(seen, int(mine[-1]) + 1)
                at += count
        return fresh

    def take(self, groups: list[int]) -> list[int]:
        """Rows that were summed in these groups, which start anew."""
        rows = [self._rows[group] for group in groups]
        for group in groups:
            self._rows[group] = 0
        return rows
