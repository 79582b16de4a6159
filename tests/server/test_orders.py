"""Row flags against their definition, position by position."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_kernels.layout import OPERATIONS_MASK, READ_FLAG
from vagus_server.plugin.orders import OrderFlags
from vagus_server.plugin.wire import NO_END, Order, OrderOperation

POSITIONS = st.integers(0, 8)
RANGES = st.lists(st.tuples(POSITIONS, POSITIONS | st.just(NO_END)), max_size=3).map(tuple)
OPERATIONS = st.lists(
    RANGES.map(lambda scope: OrderOperation(1, 1, (0,), (1.0,), (0.0,), scope)), max_size=8
).map(tuple)
ORDERS = st.builds(
    Order,
    prompt_tokens=st.integers(1, 8),
    operations=OPERATIONS,
    read=RANGES,
    monitor=st.booleans(),
)


def flags(order: Order, position: int) -> int:
    """The flags of one position, by the definition."""
    result = 0
    for p, operation in enumerate(order.operations):
        if any(start <= position < end for start, end in operation.scope):
            result |= 1 << p
    read = any(start <= position < end for start, end in order.read)
    if read or (order.monitor and position >= order.prompt_tokens - 1):
        result |= READ_FLAG
    return result


@examples
@given(ORDERS)
def test_flags_are_those_of_the_definition(order: Order) -> None:
    order_flags = OrderFlags(order)
    expected = [flags(order, position) for position in range(20)]
    for start, tokens in product(range(10), (1, 2, 10)):
        got = order_flags.at(start, tokens)
        assert got.dtype == np.int32
        assert got.tolist() == expected[start : start + tokens]


@examples
@given(ORDERS, st.integers(0, 2**20))
def test_flags_are_constant_past_the_last_bound(order: Order, start: int) -> None:
    assert OrderFlags(order).at(9 + start, 2).tolist() == [flags(order, 9)] * 2


def test_the_last_position_of_all_is_in_an_endless_range() -> None:
    order = Order(prompt_tokens=1, read=((0, NO_END),))
    assert OrderFlags(order).at(NO_END - 3, 2).tolist() == [READ_FLAG] * 2


def test_eight_operations_and_the_read_flag_do_not_meet() -> None:
    operation = OrderOperation(1, 1, (0,), (1.0,), (0.0,), ((0, NO_END),))
    order = Order(prompt_tokens=1, operations=(operation,) * 8, monitor=True)
    assert OrderFlags(order).at(0, 1).tolist() == [0xFF | READ_FLAG]
    assert READ_FLAG & OPERATIONS_MASK == 0
