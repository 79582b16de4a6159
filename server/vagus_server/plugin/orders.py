"""What a request's order means for its rows, as a function of position."""

import math
from bisect import bisect_right
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_kernels.step import SCALE
from vagus_server.plugin.ranges import touching
from vagus_server.plugin.wire import NO_END, Order, Range


@dataclass(frozen=True)
class RowFlags:
    """Row flags of one request.

    They change only at the bounds of ranges: nearly every decoded token lies in the same piece as
    the one before it, and its flags cost a comparison.
    """

    #: Flags, and the ranges that have them: disjoint, ascending.
    ranges: tuple[tuple[int, tuple[Range, ...]], ...]

    @classmethod
    def of(cls, order: Order) -> "RowFlags":
        """The flags that an order gives its rows."""
        ranges = [(1 << p, o.scope) for p, o in enumerate(order.operations)]
        ranges += [(READ_FLAG, (r,)) for r in order.read]
        return cls(tuple(ranges))

    def piece(self, position: int) -> tuple[int, int, int]:
        """Start and end of the positions around this one that have its flags, and the flags."""
        start, end, flags = 0, NO_END, 0
        for bits, some in self.ranges:
            after = bisect_right(some, position, key=itemgetter(0))
            if after:
                first, last = some[after - 1]
                if position < last:
                    flags |= bits
                    start, end = max(start, first), min(end, last)
                else:
                    start = max(start, last)
            if after < len(some):
                end = min(end, some[after][0])
        return start, end, flags

    def overlapping(self, start: int, tokens: int) -> list[tuple[int, int, int]]:
        """The ranges that the positions [start, start + tokens) touch."""
        end = start + tokens
        return [(*r, flags) for flags, some in self.ranges for r in touching(some, start, end)]


class RowScales(NamedTuple):
    """Factors on the steps of one request's operations; see vagus_kernels.step."""

    #: int32 [n, 4], as in a step's message.
    records: np.ndarray
    #: From this position on all of them are 1.
    until: int

    @classmethod
    def of(cls, order: Order) -> "RowScales":
        """The factors that an order's envelopes give."""
        records, until = [], 0
        for p, operation in enumerate(order.operations):
            envelope = operation.envelope
            if envelope is None:
                continue
            floats = np.array([envelope.ramp, envelope.half_life], dtype=np.float32)
            records.append((p, envelope.origin, *floats.view(np.int32).tolist()))
            ramped = envelope.origin + math.ceil(envelope.ramp)
            until = max(until, NO_END if envelope.half_life > 0 else ramped)
        return cls(np.array(records, dtype=np.int32).reshape(-1, SCALE), until)


def covered(ranges: tuple[Range, ...], start: int, tokens: int) -> np.ndarray:
    """Which of the positions [start, start + tokens) lie in some range, int32, ascending."""
    inside = np.zeros(tokens, dtype=bool)
    for first, end in ranges:
        inside[max(first - start, 0) : max(end - start, 0)] = True
    return (start + np.flatnonzero(inside)).astype(np.int32)
