"""What a request's order means for its rows, as a function of position."""

from dataclasses import dataclass

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_server.plugin.ranges import touching
from vagus_server.plugin.wire import NO_END, Order, Range


@dataclass(frozen=True)
class RowFlags:
    """Row flags of one request.

    Past the last bound of any range the flags are constant; nearly every decoded token is
    there, and its flags cost a comparison.
    """

    #: Flags, and the ranges that have them: disjoint, ascending.
    ranges: tuple[tuple[int, tuple[Range, ...]], ...]
    #: Position from which on the flags are `steady`.
    steady_from: int
    steady: int

    @classmethod
    def of(cls, order: Order) -> "RowFlags":
        """The flags that an order gives its rows."""
        ranges = [(1 << p, o.scope) for p, o in enumerate(order.operations)]
        ranges += [(READ_FLAG, (r,)) for r in order.read]
        bounds = (bound for _, some in ranges for r in some for bound in r)
        steady_from = max((bound for bound in bounds if bound != NO_END), default=0)
        steady = 0
        for flags, some in ranges:
            # Past the last bound only a range without an end can lie, and it is the last one.
            if some and some[-1][1] == NO_END and some[-1][0] <= steady_from:
                steady |= flags
        return cls(tuple(ranges), steady_from, steady)

    def overlapping(self, start: int, tokens: int) -> list[tuple[int, int, int]]:
        """The ranges that the positions [start, start + tokens) touch."""
        end = start + tokens
        return [(*r, flags) for flags, some in self.ranges for r in touching(some, start, end)]


def covered(ranges: tuple[Range, ...], start: int, tokens: int) -> np.ndarray:
    """Which of the positions [start, start + tokens) lie in some range, int32, ascending."""
    inside = np.zeros(tokens, dtype=bool)
    for first, end in ranges:
        inside[max(first - start, 0) : max(end - start, 0)] = True
    return (start + np.flatnonzero(inside)).astype(np.int32)
