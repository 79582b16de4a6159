"""What a request's order means for its rows, as a function of position."""

from dataclasses import dataclass

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_server.plugin.wire import NO_END, Order, Range


@dataclass(frozen=True)
class RowFlags:
    """Row flags of one request.

    Past the last bound of any range the flags are constant; nearly every decoded token is
    there, and its flags cost a comparison.
    """

    #: (start, end, flags), half-open.
    ranges: tuple[tuple[int, int, int], ...]
    #: Position from which on the flags are `steady`.
    steady_from: int
    steady: int

    @classmethod
    def of(cls, order: Order) -> "RowFlags":
        """The flags that an order gives its rows."""
        ranges = [(*r, 1 << p) for p, o in enumerate(order.operations) for r in o.scope]
        ranges += [(*r, READ_FLAG) for r in order.read]
        steady_from = max((b for r in ranges for b in r[:2] if b != NO_END), default=0)
        steady = 0
        for start, end, flags in ranges:
            if end == NO_END and start <= steady_from:
                steady |= flags
        return cls(tuple(ranges), steady_from, steady)

    def overlapping(self, start: int, tokens: int) -> list[tuple[int, int, int]]:
        """The ranges that the positions [start, start + tokens) touch."""
        return [r for r in self.ranges if r[0] < start + tokens and start < r[1]]


def covered(ranges: tuple[Range, ...], start: int, tokens: int) -> np.ndarray:
    """Which of the positions [start, start + tokens) lie in some range, int32, ascending."""
    inside = np.zeros(tokens, dtype=bool)
    for first, end in ranges:
        inside[max(first - start, 0) : max(end - start, 0)] = True
    return (start + np.flatnonzero(inside)).astype(np.int32)
