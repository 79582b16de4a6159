"""Row flags against their definition, position by position."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_kernels.layout import OPERATIONS_MASK, READ_FLAG
from vagus_server.plugin.orders import RowFlags, RowScales, covered
from vagus_server.plugin.ranges import touching
from vagus_server.plugin.wire import NO_END, Order, OrderEnvelope, OrderOperation, Range
from vagus_server.steering.scope import joined

POSITIONS = st.integers(0, 8)
RANGES = st.lists(st.tuples(POSITIONS, POSITIONS | st.just(NO_END)), max_size=3).map(tuple)
SCOPES = RANGES.map(joined).map(tuple)
OPERATIONS = st.lists(
    SCOPES.map(lambda scope: OrderOperation(1, 1, (0,), (1.0,), (0.0,), scope)), max_size=8
).map(tuple)
ORDERS = st.builds(Order, operations=OPERATIONS, read=RANGES)


def flags(order: Order, position: int) -> int:
    """The flags of one position, by the definition."""
    result = 0
    for p, operation in enumerate(order.operations):
        if any(start <= position < end for start, end in operation.scope):
            result |= 1 << p
    if any(start <= position < end for start, end in order.read):
        result |= READ_FLAG
    return result


def unsteady(row_flags: RowFlags, start: int, position: int, tokens: int) -> int:
    result = 0
    for first, end, bits in row_flags.overlapping(start, tokens):
        result |= bits if first <= position < end else 0
    return result


@examples
@given(ORDERS, st.integers(0, 10), st.integers(1, 10))
def test_ranges_give_the_flags_of_the_definition(order: Order, start: int, tokens: int) -> None:
    row_flags = RowFlags.of(order)
    for position in range(start, start + tokens):
        assert unsteady(row_flags, start, position, tokens) == flags(order, position)


@examples
@given(ORDERS, st.integers(0, 12))
def test_flags_are_steady_between_bounds(order: Order, position: int) -> None:
    start, end, steady = RowFlags.of(order).piece(position)
    assert start <= position < end
    assert {flags(order, q) for q in range(start, min(end, 20))} == {steady}


ENVELOPES = st.builds(
    OrderEnvelope, st.integers(0, 6), st.sampled_from([0.0, 0.5, 1.0, 2.0, 2.5]), st.just(0.0)
)


@examples
@given(st.lists(ENVELOPES | st.none(), max_size=3), st.integers(0, 12))
def test_nothing_is_scaled_once_all_ramps_have_ended(
    envelopes: list[OrderEnvelope | None], position: int
) -> None:
    operations = tuple(OrderOperation(1, 1, (), (), (), (), None, e) for e in envelopes)
    scales = RowScales.of(Order(operations))
    assert len(scales.records) == sum(e is not None for e in envelopes)
    if position >= scales.until:
        for _, origin, ramp, _ in scales.records:
            over = float(np.int32(ramp).view(np.float32))
            assert max(0, position - origin) + 1 >= over
    assert scales.until <= max((e.origin + 3 for e in envelopes if e), default=0)


def test_a_half_life_never_ends() -> None:
    fading = OrderOperation(1, 1, (), (), (), (), None, OrderEnvelope(4, 2.0, 8.0))
    assert RowScales.of(Order((fading,))).until == NO_END


@examples
@given(RANGES, st.integers(0, 10), st.integers(1, 10))
def test_covered_positions(ranges: tuple[tuple[int, int], ...], start: int, tokens: int) -> None:
    inside = [p for p in range(start, start + tokens) if any(a <= p < b for a, b in ranges)]
    assert covered(ranges, start, tokens).tolist() == inside


class Looked(tuple[Range, ...]):
    """Counts the ranges that are looked at."""

    count = 0

    def __getitem__(self, i: Any) -> Any:
        Looked.count += 1
        return super().__getitem__(i)

    def __iter__(self) -> Iterator[Range]:
        raise AssertionError("all of them are looked at")


def test_only_ranges_near_the_positions_are_looked_at() -> None:
    ranges = Looked((2 * i, 2 * i + 1) for i in range(4096))
    Looked.count = 0
    assert touching(ranges, 4001, 4005) == [(4002, 4003), (4004, 4005)]
    assert Looked.count < 30
    assert touching(ranges, 9000, NO_END) == []


def test_eight_operations_and_the_read_flag_do_not_meet() -> None:
    operation = OrderOperation(1, 1, (0,), (1.0,), (0.0,), ((0, NO_END),))
    order = Order(operations=(operation,) * 8, read=((0, NO_END),))
    assert RowFlags.of(order).piece(0) == (0, NO_END, 0xFF | READ_FLAG)
    assert READ_FLAG & OPERATIONS_MASK == 0
