"""Orders and frames survive the way they take, bit by bit."""

from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.config import KEY
from vagus_server.plugin.wire import (
    NO_END,
    Frame,
    Mark,
    Order,
    OrderOperation,
    frame_from_array,
    frame_to_array,
    order_from_sampling_params,
    order_to_extra_args,
)

COUNTS = st.integers(0, 2**31 - 1)
RANGES = st.lists(st.tuples(COUNTS, COUNTS), max_size=4)
FLOATS = st.floats(allow_nan=False)
OPERATIONS = st.builds(
    OrderOperation,
    kind=st.integers(0, 4),
    vector=COUNTS,
    sites=st.lists(COUNTS, max_size=4).map(tuple),
    a=st.lists(FLOATS, max_size=4).map(tuple),
    b=st.lists(FLOATS, max_size=4).map(tuple),
    scope=RANGES.map(tuple),
)
ORDERS = st.builds(
    Order,
    prompt_tokens=COUNTS,
    operations=st.lists(OPERATIONS, max_size=8).map(tuple),
    digest=st.binary(max_size=32),
    read=RANGES.map(tuple),
    monitor=st.booleans(),
    turn_every_output=st.booleans(),
)
FRAMES = st.builds(
    Frame,
    spans=RANGES,
    marks=st.lists(st.builds(Mark, COUNTS, COUNTS, st.binary(max_size=64)), max_size=4),
    positions=st.lists(COUNTS, max_size=4),
    readouts=st.binary(max_size=64),
    turn_sum=st.binary(max_size=64),
    turn_tokens=COUNTS,
    last_prompt_token=st.binary(max_size=64),
)


def through(order: Order) -> Order | None:
    return order_from_sampling_params(SimpleNamespace(extra_args=order_to_extra_args(order)))


@examples
@given(ORDERS)
def test_orders_come_back_equal(order: Order) -> None:
    assert through(order) == order


@examples
@given(FRAMES)
def test_frames_come_back_equal(frame: Frame) -> None:
    assert frame_from_array(frame_to_array(frame)) == frame


def test_an_order_travels_as_bytes_alone() -> None:
    """vLLM's own transport takes builtins."""
    assert {k: type(v) for k, v in order_to_extra_args(Order(3)).items()} == {KEY: bytes}


def test_a_frame_travels_as_flat_bytes() -> None:
    array = frame_to_array(Frame())
    assert (array.dtype, array.ndim) == (np.uint8, 1)
    assert frame_from_array(array) == Frame()


def test_frames_do_not_share_their_lists() -> None:
    Frame().spans.append((0, 1))
    assert Frame().spans == []


def test_endless_ranges_fit_the_devices_integers() -> None:
    assert np.int32(NO_END) == NO_END
    order = Order(prompt_tokens=5, read=((4, NO_END),))
    assert through(order) == order


@pytest.mark.parametrize("extra", [None, {}, {"other": b"x"}])
def test_requests_without_an_order_have_none(extra: dict[str, bytes] | None) -> None:
    assert order_from_sampling_params(SimpleNamespace(extra_args=extra)) is None
    assert order_from_sampling_params(object()) is None


def test_damaged_orders_raise() -> None:
    damaged = SimpleNamespace(extra_args={KEY: b"\xc1"})
    with pytest.raises(msgspec.DecodeError):
        order_from_sampling_params(damaged)


def test_the_reply_starts_at_the_last_prompt_token() -> None:
    assert Order(prompt_tokens=5).reply_start == 4
