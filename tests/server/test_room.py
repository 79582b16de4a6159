"""Room for programs: each counts once, and what is not needed any more not at all."""

from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.room import Room


def test_equal_programs_take_one_slot() -> None:
    room = Room(2)
    assert all(room.turn(f"request {n}", {b"x", b"y"}) for n in range(256))
    assert len(room) == 2
    assert not room.turn("another", {b"z"})
    assert room.turn("another", {b"x"}), "it is there already"


def test_what_is_refused_takes_nothing() -> None:
    room = Room(1)
    assert room.turn("a", {b"x"})
    assert not room.turn("b", {b"y"})
    room.leave("a")
    assert len(room) == 0
    assert room.turn("b", {b"y"})


def test_what_workers_hold_is_needed_until_they_are_told() -> None:
    room = Room(2)
    assert room.turn("a", {b"x"})
    assert room.turn("a", {b"y"})
    assert len(room) == 1, "they never heard of x"
    room.tell("a", {b"y"})
    assert room.turn("a", {b"z"})
    assert not room.turn("b", {b"x"})
    room.tell("a", {b"z"})
    assert room.turn("b", {b"x"})


def test_callers_leave_a_part_to_policies() -> None:
    room = Room(8)
    made = [room.turn("a", {bytes([i]) for i in range(n + 1)}, asked=True) for n in range(8)]
    assert made == [True] * 6 + [False] * 2
    assert room.turn("b", {b"\0"}, asked=True), "it is there already"
    assert room.turn("c", {b"x", b"y"})
    assert not room.turn("c", {b"x", b"y", b"z"})
    room.leave("a")
    assert room.turn("d", {b"z"}, asked=True)


NAMES, DIGESTS = st.sampled_from("abc"), st.binary(min_size=1, max_size=1)
STEPS = st.lists(st.tuples(NAMES, st.booleans(), st.sets(DIGESTS, max_size=3)))


@examples
@given(STEPS)
def test_room_against_a_plain_model(steps: list[tuple[str, bool, set[bytes]]]) -> None:
    room, needed = Room(4), dict[str, set[bytes]]()
    for name, ends, digests in steps:
        if ends:
            room.leave(name)
            needed.pop(name, None)
        else:
            # What it needed is held until it is told.
            fits = len(digests.union(*needed.values())) <= 4
            assert room.turn(name, digests) == fits
            if fits:
                room.tell(name, digests)
                needed[name] = digests
        assert len(room) == len(set[bytes]().union(*needed.values())) <= 4
