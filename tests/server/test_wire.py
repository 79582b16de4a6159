"""Orders and steps survive the way they take, bit by bit."""

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
    News,
    Order,
    OrderEnvelope,
    OrderGate,
    OrderOperation,
    Sighting,
    Step,
    Switch,
    news_from_array,
    news_to_array,
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
    gate=st.none() | st.builds(OrderGate, COUNTS, st.integers(-1, 99), FLOATS, FLOATS),
    envelope=st.none() | st.builds(OrderEnvelope, COUNTS, FLOATS, FLOATS),
)
ORDERS = st.builds(
    Order,
    operations=st.lists(OPERATIONS, max_size=8).map(tuple),
    digest=st.binary(max_size=32),
    read=RANGES.map(tuple),
)
STEPS = st.builds(
    Step,
    ids=st.lists(st.text(max_size=8), max_size=4),
    spans=st.binary(max_size=64),
    positions=st.binary(max_size=64),
    readouts=st.binary(max_size=64),
    marks=st.binary(max_size=64),
    steps=st.binary(max_size=64),
)


def through(order: Order) -> Order | None:
    return order_from_sampling_params(SimpleNamespace(extra_args=order_to_extra_args(order)))


@examples
@given(ORDERS)
def test_orders_come_back_equal(order: Order) -> None:
    assert through(order) == order


@examples
@given(st.lists(STEPS, max_size=3))
def test_news_come_back_equal_in_flat_bytes(steps: list[Step]) -> None:
    switches = [Switch("a", 7, 1, (0, 2))]
    sightings = [Sighting("a", 2, True, 6, 2.5, False, True)]
    news = News(steps, switches, sightings)
    array = news_to_array(news)
    assert (array.dtype, array.ndim) == (np.uint8, 1)
    assert news_from_array(array) == news


def test_a_readout_that_is_not_finite_comes_back() -> None:
    (sighting,) = news_from_array(
        news_to_array(News([], [], [Sighting("a", 0, True, 6, float("nan"))]))
    ).sightings
    assert np.isnan(sighting.value)


def test_an_order_travels_as_bytes_alone() -> None:
    """vLLM's own transport takes builtins."""
    assert {k: type(v) for k, v in order_to_extra_args(Order()).items()} == {KEY: bytes}


def test_arrays_of_a_step() -> None:
    readouts = np.arange(12, dtype="<f4").reshape(2, 3, 1, 2)
    marks = np.array([[1, -1], [2, 3]], dtype="<i4")
    step = Step(["a"], b"", readouts=readouts.tobytes(), marks=marks.tobytes())
    assert np.array_equal(step.array("readouts", -1, 3, 1, 2), readouts)
    assert np.array_equal(step.array("marks", -1, 2), marks)
    assert step.array("positions", -1).tolist() == []


def test_endless_ranges_fit_the_devices_integers() -> None:
    assert np.int32(NO_END) == NO_END
    order = Order(read=((4, NO_END),))
    assert through(order) == order


@pytest.mark.parametrize("extra", [None, {}, {"other": b"x"}])
def test_requests_without_an_order_have_none(extra: dict[str, bytes] | None) -> None:
    assert order_from_sampling_params(SimpleNamespace(extra_args=extra)) is None
    assert order_from_sampling_params(object()) is None


def test_damaged_orders_raise() -> None:
    damaged = SimpleNamespace(extra_args={KEY: b"\xc1"})
    with pytest.raises(msgspec.DecodeError):
        order_from_sampling_params(damaged)
