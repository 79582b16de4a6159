"""Slots: shared by equal programs, free again with their last request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.slots import Slots
from vagus_server.plugin.wire import Order, OrderOperation

OPERATION = OrderOperation(1, 1, (0,), (1.0,), (0.0,), ((0, 8),))


def order(name: str) -> Order:
    return Order(prompt_tokens=8, operations=(OPERATION,), digest=name.encode())


def test_equal_programs_share_a_slot_that_is_written_once() -> None:
    slots = Slots(8)
    a, fresh_a = slots.acquire("r1", order("x"))
    b, fresh_b = slots.acquire("r2", order("x"))
    c, fresh_c = slots.acquire("r3", order("y"))
    assert a == b != c
    assert (fresh_a, fresh_b, fresh_c) == (True, False, True)
    assert slots.used == 2


def test_the_same_request_again_keeps_its_slot() -> None:
    slots = Slots(2)
    first = slots.acquire("r", order("x"))
    assert slots.acquire("r", order("x")) == (first[0], False)
    slots.release("r")
    assert slots.used == 0


def test_a_slot_is_free_when_its_last_request_lets_go() -> None:
    slots = Slots(2)
    slots.acquire("r1", order("x"))
    slots.acquire("r2", order("x"))
    slots.release("r1")
    assert slots.used == 1
    slots.release("r2")
    assert slots.used == 0
    assert slots.acquire("r3", order("x")) == (1, True), "what was there may be overwritten"


def test_programs_of_nothing_take_slot_0() -> None:
    slots = Slots(1)
    assert slots.acquire("r", Order(prompt_tokens=8)) == (0, False)
    slots.release("r")
    assert slots.used == 0


def test_a_full_table_raises_and_is_as_it_was() -> None:
    slots = Slots(2)
    slots.acquire("r1", order("x"))
    with pytest.raises(RuntimeError, match="all 1 program slots"):
        slots.acquire("r2", order("y"))
    slots.release("r2")
    slots.release("unknown")
    assert slots.used == 1
    slots.release("r1")
    assert slots.acquire("r2", order("y")) == (1, True)


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), max_size=60)


@examples
@given(STEPS)
def test_slots_against_a_plain_model(steps: list[tuple[bool, int, int]]) -> None:
    """Six requests with four programs come and go: distinct programs never share a slot."""
    slots = Slots(5)
    running: dict[str, str] = {}
    slot_of: dict[str, int] = {}
    for acquire, r, p in steps:
        request, program = f"r{r}", running.get(f"r{r}", f"p{p}")
        if acquire:
            slot, fresh = slots.acquire(request, order(program))
            assert fresh == (program not in running.values())
            running[request], slot_of[program] = program, slot
        else:
            slots.release(request)
            running.pop(request, None)
        held = [slot_of[program] for program in set(running.values())]
        assert len(set(held)) == len(held) == slots.used
        assert 0 not in held
