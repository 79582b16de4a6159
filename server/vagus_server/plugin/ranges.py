"""Finds the ranges near some positions without a look at the others: a scope can have thousands."""

from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter

from vagus_server.plugin.wire import Range


def touching(ranges: Sequence[Range], start: int, end: int) -> list[Range]:
    """Those of disjoint ranges, ascending, that share a position with [start, end)."""
    found = []
    for i in range(bisect_right(ranges, start, key=itemgetter(1)), len(ranges)):
        if ranges[i][0] >= end:
            break
        found.append(ranges[i])
    return found
