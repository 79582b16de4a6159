"""Slots: shared by equal programs, free again with their last use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.slots import Slots


def test_equal_programs_share_a_slot_that_is_written_once() -> None:
    slots = Slots(8)
    a, fresh_a = slots.acquire(b"x")
    b, fresh_b = slots.acquire(b"x")
    c, fresh_c = slots.acquire(b"y")
    assert a == b != c
    assert (fresh_a, fresh_b, fresh_c) == (True, False, True)
    assert slots.used == 2


def test_a_slot_is_free_when_its_last_user_lets_go() -> None:
    slots = Slots(2)
    slots.acquire(b"x")
    slots.acquire(b"x")
    slots.release(b"x")
    assert slots.used == 1
    slots.release(b"x")
    assert slots.used == 0
    assert slots.acquire(b"x") == (1, True), "what was there may be overwritten"


def test_a_full_table_raises_and_is_as_it_was() -> None:
    slots = Slots(2)
    slots.acquire(b"x")
    with pytest.raises(RuntimeError, match="all 1 program slots"):
        slots.acquire(b"y")
    assert slots.used == 1
    slots.release(b"x")
    assert slots.acquire(b"y") == (1, True)


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60)


@examples
@given(STEPS)
def test_slots_against_a_plain_model(steps: list[tuple[bool, int]]) -> None:
    """Users of four programs come and go: distinct programs never share a slot."""
    slots = Slots(5)
    users = dict.fromkeys(range(4), 0)
    slot_of: dict[int, int] = {}
    for acquire, p in steps:
        digest = bytes([p])
        if acquire:
            slot_of[p], fresh = slots.acquire(digest)
            assert fresh == (users[p] == 0)
            users[p] += 1
        elif users[p]:
            slots.release(digest)
            users[p] -= 1
        held = [slot_of[p] for p, count in users.items() if count]
        assert len(set(held)) == len(held) == slots.used
        assert 0 not in held
