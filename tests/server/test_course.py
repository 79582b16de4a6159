"""Changed requests: which order holds where, and from where on a change can hold."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from support.programs import operation
from vagus_server.plugin.blocks import block_key
from vagus_server.plugin.course import Course, frontier, pieces
from vagus_server.plugin.wire import Order, OrderPolicy
from vagus_server.steering.program import Envelope, Program


def order(*lengths: float, policies: tuple[OrderPolicy, ...] = (), **fields: Any) -> Order:
    program = Program(tuple(operation(2, length=length, **fields) for length in lengths))
    row_of = dict.fromkeys(program.contents, 1)
    digest = program.tables_digest if program else b""
    return Order(program.order_operations(row_of), digest, policies=policies)


def policy(length: float, **fields: Any) -> OrderPolicy:
    added = order(length, **fields)
    return OrderPolicy(0, 0, 0.0, 1.0, 1, 3.0, 2.0, 0.5, 1, added.operations, added.digest)


def lengths(asked: Order) -> list[float]:
    return [o.a[0] for o in asked.operations]


def test_pieces_cover_a_window_once() -> None:
    course = Course(order(1.0))
    course.rebase(1, order(2.0), 5)
    course.rebase(2, order(), 9)
    assert [(a, b, lengths(o)) for a, b, o in pieces(course.segments, 3, 12)] == [
        (3, 5, [1.0]),
        (5, 9, [2.0]),
        (9, 12, []),
    ]
    assert [(a, b) for a, b, _ in pieces(course.segments, 5, 9)] == [(5, 9)]
    assert course.added == {order(2.0).digest, b""}


def test_a_change_that_held_for_nothing_is_dropped() -> None:
    course = Course(order(1.0))
    course.rebase(1, order(2.0), 5)
    course.rebase(2, order(3.0), 5)
    assert [(start, lengths(o)) for start, o in course.segments] == [(0, [1.0]), (5, [3.0])]
    course.rebase(3, order(4.0), 0)
    assert [(start, lengths(o)) for start, o in course.segments] == [(0, [4.0])]
    assert course.added == {order(4.0).digest}


def test_the_program_that_it_came_with_needs_no_other_slot() -> None:
    course = Course(order(1.0))
    course.rebase(1, order(), 0)
    assert course.added == {b""}, "nothing has a slot too, where a program was taken away"
    course.rebase(2, order(1.0), 4)
    assert course.added == {b""}
    plain = Course(order())
    plain.rebase(1, order(2.0), 4)
    plain.rebase(2, order(), 6)
    assert plain.added == {order(2.0).digest}


def test_a_copy_is_changed_alone() -> None:
    course = Course(order(1.0, policies=(policy(10.0), policy(20.0))))
    course.begin(0, 4)
    other = course.copy()
    other.rebase(1, order(2.0, policies=course.base.policies), 6)
    other.begin(1, 8)
    other.cease(0, 9)
    assert (course.number, course.base.digest) == (0, course.came.digest)
    assert [(start, lengths(o)) for start, o in course.segments] == [(0, [1.0]), (4, [1.0, 10.0])]
    assert list(course.acting) == [0]


def test_policies_add_to_whatever_the_request_asks() -> None:
    both = (policy(10.0), policy(20.0))
    course = Course(order(1.0, policies=both))
    alone = course.base.digest
    assert lengths(course.begin(1, 4)) == [1.0, 20.0]
    assert lengths(course.begin(0, 6)) == [1.0, 10.0, 20.0], "in the order of the policies"
    together = course.segments[-1][1].digest
    assert lengths(course.rebase(1, order(2.0, policies=both), 8)) == [2.0, 10.0, 20.0]
    assert lengths(course.cease(1, 9)) == [2.0, 10.0]
    assert lengths(course.rebase(2, order(1.0, policies=both), 10)) == [1.0, 10.0]
    assert lengths(course.begin(1, 11)) == [1.0, 10.0, 20.0]
    assert course.segments[-1][1].digest == together, "equal programs share a slot"
    course.cease(0, 12)
    assert course.cease(1, 13).digest == alone


def test_envelopes_of_what_comes_later_count_from_there() -> None:
    rising = {"envelope": Envelope(3, 5.0, 0.0)}
    course = Course(order(1.0, policies=(policy(10.0, **rising),), **rising))
    assert course.base.operations[0].envelope.origin == 3
    begun = course.begin(0, 7)
    assert [o.envelope.origin for o in begun.operations] == [3, 7]
    changed = course.rebase(1, order(2.0, policies=course.base.policies, **rising), 9)
    assert [o.envelope.origin for o in changed.operations] == [9, 7]
    early = Course(order())
    # Before the generation they count from it, as ever.
    assert early.rebase(1, order(1.0, **rising), 2).operations[0].envelope.origin == 3


def request(computed: int, tokens: int, outputs: int, stale: int = 0) -> Any:
    return SimpleNamespace(
        num_computed_tokens=computed,
        num_tokens=tokens,
        num_output_tokens=outputs,
        num_stale_output_tokens=stale,
    )


@pytest.mark.parametrize(
    ("state", "position"),
    [
        (request(0, 10, 0), 0),  # waits
        (request(4, 10, 0), 4),  # between two chunks of its prompt
        (request(10, 10, 0), 10),  # the first token is being chosen
        (request(12, 13, 3), 12),  # the next step will process position 12
        (request(13, 13, 3), 13),  # that step is in flight
        (request(0, 13, 3), 12),  # preempted: positions before 12 have led to tokens
        (request(7, 13, 3), 12),  # and are being computed anew
        (request(0, 13, 3, stale=1), 13),  # preempted while a step was in flight
        (request(0, 10, 0, stale=6), 11),  # preempted while the prompt was: it may be its last
    ],
)
def test_a_change_holds_from_what_is_not_processed_yet(state: Any, position: int) -> None:
    assert frontier(state, 2) == position


STEPS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=5)
BLOCK = 4


@examples
@given(STEPS, STEPS)
def test_keys_are_equal_exactly_where_the_device_did_the_same(
    a: list[tuple[int, int]], b: list[tuple[int, int]]
) -> None:
    """Programs are told by their lengths: 0 is none."""

    def course(changes: list[tuple[int, int]]) -> tuple[Course, list[int]]:
        made, held = Course(order()), [0] * 48
        for number, (start, length) in enumerate(sorted(changes, key=lambda c: c[0]), 1):
            made.rebase(number, order(float(length)) if length else order(), start)
            held[start:] = [length] * (48 - start)
        return made, held

    (first, held_a), (second, held_b) = course(a), course(b)
    for start in range(0, 48, BLOCK):
        key_a = block_key(first.segments, start, start + BLOCK)
        key_b = block_key(second.segments, start, start + BLOCK)
        did_a, did_b = held_a[start : start + BLOCK], held_b[start : start + BLOCK]
        assert (key_a is None) == (not any(did_a))
        if did_a != did_b:
            assert key_a != key_b
        elif len(set(did_a)) == 1:
            # A change to the same program within a block may cost a hit, never correctness.
            same = all(
                sum(1 for _ in pieces(c.segments, start, start + BLOCK)) == 1
                for c in (first, second)
            )
            assert key_a == key_b or not same


def test_a_change_elsewhere_leaves_a_blocks_key_alone() -> None:
    plain, changed = [(0, order(1.0))], [(0, order(1.0)), (8, order(2.0))]
    assert block_key(plain, 0, 4) == block_key(changed, 0, 4) is not None
    assert block_key([(0, order()), (8, order(2.0))], 0, 4) is None
