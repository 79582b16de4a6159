"""Which order holds at which of a request's positions: a running request can be changed.

A change holds from a position on that has neither been processed nor scheduled. Everything else
follows from positions: flags of rows, keys of blocks, what is computed anew after a preemption,
and the receipt.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from vagus_server.plugin.wire import NO_END, Order, OrderOperation

#: Orders with the positions from which on they hold, ascending; the first holds from 0 on.
Segments = list[tuple[int, Order]]


def pieces(segments: Segments, start: int, end: int) -> Iterator[tuple[int, int, Order]]:
    """The parts of [start, end) with the order that holds in each."""
    ends = [first for first, _ in segments[1:]] + [NO_END]
    for (first, order), last in zip(segments, ends, strict=True):
        if first < end and start < last:
            yield max(first, start), min(last, end), order


class Course:
    """What a running request is steered by.

    Args:
        order: the one it came with.
    """

    def __init__(self, order: Order) -> None:
        self.came = self.base = order
        #: Which of the request's programs `base` is; see `wire.Switch`.
        self.number = 0
        #: Operations of the policies that act now, by index.
        self.acting: dict[int, tuple[OrderOperation, ...]] = {}
        self.segments: Segments = [(0, order)]

    def copy(self) -> "Course":
        """One that can be changed alone: to see what would hold, before it is made to."""
        other = Course(self.came)
        other.base, other.number = self.base, self.number
        other.acting, other.segments = self.acting.copy(), self.segments.copy()
        return other

    def rebase(self, number: int, order: Order, start: int) -> Order:
        """Another program of the request's own; policies go on acting. Returns what holds."""
        operations = _anchored(order.operations, start)
        self.base = msgspec.structs.replace(order, operations=operations)
        self.number = number
        return self._turn(start)

    def begin(self, policy: int, start: int) -> Order:
        """A policy begins to act. Returns what holds then."""
        self.acting[policy] = _anchored(self.base.policies[policy].operations, start)
        self.acting = dict(sorted(self.acting.items()))
        return self._turn(start)

    def cease(self, policy: int, start: int) -> Order:
        """A policy ceases to act. Returns what holds then."""
        del self.acting[policy]
        return self._turn(start)

    def _turn(self, start: int) -> Order:
        order = self._compose()
        while self.segments and self.segments[-1][0] >= start:
            self.segments.pop()  # nothing was processed under it
        self.segments.append((start, order))
        return order

    def _compose(self) -> Order:
        base = self.base
        if not self.acting:
            return base
        digest = hashlib.sha256(base.digest)
        for policy in self.acting:
            digest.update(base.policies[policy].digest)
        added = [operation for operations in self.acting.values() for operation in operations]
        return msgspec.structs.replace(
            base, operations=(*base.operations, *added), digest=digest.digest()
        )

    @property
    def added(self) -> set[bytes]:
        """Digests of the programs that it needs slots for beside the one that it came with.

        Passed positions count: a preempted request computes them anew.
        """
        return {order.digest for _, order in self.segments} - {self.came.digest}


def _anchored(operations: tuple[OrderOperation, ...], start: int) -> tuple[OrderOperation, ...]:
    """Envelopes of what comes while a request runs count from where it holds."""
    return tuple(
        operation
        if (envelope := operation.envelope) is None or envelope.origin >= start
        else msgspec.structs.replace(
            operation, envelope=msgspec.structs.replace(envelope, origin=start)
        )
        for operation in operations
    )


def frontier(request: Any, steps_in_flight: int) -> int:
    """The first position of a running request that a change can hold from.

    Nothing at or past it has been processed, is scheduled, or was the last one before a token
    that has been chosen.

    Args:
        request: vLLM's, in the scheduler.
        steps_in_flight: most steps that run ahead of the scheduler.
    """
    # After a preemption, tokens of steps that were in flight still arrive.
    stale = min(request.num_stale_output_tokens, steps_in_flight)
    if request.num_output_tokens or stale:
        return int(max(request.num_computed_tokens, request.num_tokens - 1 + stale))
    return int(request.num_computed_tokens)
