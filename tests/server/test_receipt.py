"""The ledger: it balances for what was asked, and for nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from support.programs import ALL, operation, vectors
from vagus_kernels.layout import SET
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.program import Envelope, Gate, Program
from vagus_server.steering.receipt import Ledger, Mismatch, SiteCount

SITES, TABLE = 40, 8
PROMPT_TOKENS = 6
PROMPT, GENERATION = ((0, PROMPT_TOKENS),), ((PROMPT_TOKENS, NO_END),)
NOTHING = np.zeros(0, dtype=np.float32)


@dataclass
class Device:
    """What a device marks; rows are int32 [positions, sites]."""

    rows: np.ndarray

    @classmethod
    def right(cls, program: Program, positions: int) -> "Device":
        """The marks of one that does what the program asks."""
        rows = np.zeros((positions, SITES), dtype=np.int32)
        for i, asked in enumerate(program.operations):
            for start, end in asked.scope:
                for site in asked.sites:
                    rows[start:end, site] |= 1 << i
        return cls(rows)

    def flip(self, position: int, asked: int, site: int) -> None:
        self.rows[position, site] ^= 1 << asked

    def process(self, ledger: Ledger, start: int, end: int) -> None:
        """One forward pass."""
        ledger.add(start, end - start, self.rows[start:end], NOTHING)


def ledger_of(program: Program) -> Ledger:
    return Ledger(program, SITES)


def counts(ledger: Ledger, asked: int, end: int) -> list[SiteCount]:
    """Of the first program."""
    return ledger.counts(ledger.segments(end)[0], asked)


def in_scope(ledger: Ledger, asked: int, end: int) -> int:
    """Of the first program."""
    return ledger.in_scope(ledger.segments(end)[0], asked)


PROGRAM = Program(
    (
        operation(3, 35),
        operation(31, 32, scope=PROMPT),
        operation(0, 39, scope=GENERATION),
    )
)
END = 10


def test_a_run_as_asked_balances() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    for start, end in ((0, 4), (4, 6), (6, 7), (7, 10)):
        device.process(ledger, start, end)
    assert ledger.check(END) is None
    assert [in_scope(ledger, i, END) for i in range(3)] == [10, 6, 4]
    assert counts(ledger, 1, END) == [
        SiteCount(31, 6, 0, 5, 1.0, 1.0),
        SiteCount(32, 6, 0, 5, 1.0, 1.0),
    ]
    assert counts(ledger, 2, END) == [
        SiteCount(0, 4, 6, 9, 1.0, 1.0),
        SiteCount(39, 4, 6, 9, 1.0, 1.0),
    ]
    assert (ledger.cached_tokens, ledger.processed_tokens(END)) == (0, 10)
    assert ledger.steered_tokens(END) == 10


def test_what_is_processed_past_the_end_does_not_count() -> None:
    """The last sampled token may be in the next pass already."""
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END + 1)
    device.flip(END, 0, 3)
    device.process(ledger, 0, END + 1)
    assert ledger.check(END) is None
    assert ledger.check(END + 1) is not None
    assert ledger.processed_tokens(END) == ledger.steered_tokens(END) == END


def test_a_cached_prefix_is_not_expected_to_be_steered_again() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.process(ledger, 4, END)
    assert ledger.check(END) is None
    assert (ledger.cached_tokens, ledger.processed_tokens(END)) == (4, 6)
    assert [in_scope(ledger, i, END) for i in range(3)] == [6, 2, 4]
    assert counts(ledger, 1, END)[0] == SiteCount(31, 2, 4, 5, 1.0, 1.0)


def test_tokens_computed_anew_after_preemption_count_once() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    wrong = Device.right(PROGRAM, END)
    wrong.flip(7, 0, 3)
    wrong.process(ledger, 0, 8)
    device.process(ledger, 2, 5)
    device.process(ledger, 5, END)
    assert ledger.check(END) is None
    assert counts(ledger, 0, END)[0] == SiteCount(3, END, 0, END - 1, 1.0, 1.0)
    assert ledger.processed_tokens(END) == END


def test_a_gap_between_passes_does_not_balance() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.process(ledger, 0, 6)
    device.process(ledger, 7, END)
    assert ledger.check(END) is not None


def test_a_run_that_stops_early_does_not_balance() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.process(ledger, 0, END - 1)
    assert ledger.check(END) == Mismatch(0, 0, END, END - 1)


def test_nothing_at_all_does_not_balance() -> None:
    assert ledger_of(PROGRAM).check(END) == Mismatch(0, 0, END, 0)


@pytest.mark.parametrize("lost", range(2, END - 1))
def test_rows_without_marks_do_not_balance(lost: int) -> None:
    """Also out of scope: nobody knows what was done to them."""
    for program in (PROGRAM, Program((operation(3, scope=GENERATION),))):
        ledger, device = ledger_of(program), Device.right(program, END)
        device.process(ledger, 0, lost)
        ledger.add(lost, 1, device.rows[:0], NOTHING)
        device.process(ledger, lost + 1, END)
        assert ledger.check(END) == Mismatch(0, 0, END, END - 1)


#: Position, operation and site that are flipped; then the run of tokens that shows it.
WRONG = {
    "site missed": (5, 0, 35, Mismatch(0, 35, 1, 0)),
    "site not named": (5, 0, 4, Mismatch(0, 4, 0, 1)),
    "site of another operation": (5, 0, 32, Mismatch(0, 32, 0, 1)),
    "prompt operation on generation": (6, 1, 31, Mismatch(1, 31, 0, 1)),
    "generation operation on prompt": (5, 2, 39, Mismatch(2, 39, 0, 1)),
    "operation that is not there": (5, 3, 3, Mismatch(3, 3, 0, 1)),
    "last row of the table": (5, 7, 0, Mismatch(7, 0, 0, 1)),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_mark_does_not_balance(what: str) -> None:
    position, asked, site, expected = WRONG[what]
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.flip(position, asked, site)
    device.process(ledger, 0, END)
    assert ledger.check(END) == expected


def test_as_many_tokens_elsewhere_do_not_balance() -> None:
    """The count alone would be right."""
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    for site in (31, 32):
        device.flip(0, 1, site)
        device.flip(9, 1, site)
    device.process(ledger, 0, END)
    assert counts(ledger, 1, END)[0].tokens == in_scope(ledger, 1, END) == 6
    assert ledger.check(END) is not None


def test_a_request_without_a_program_has_nothing_to_balance() -> None:
    assert ledger_of(Program()).check(END) is None


def test_thousands_of_ranges_are_not_gone_through_for_every_run() -> None:
    """Nor is a run at a time looked at: what there is to go through is told once."""

    class Told(tuple[Range, ...]):
        times = 0

        def __iter__(self) -> Iterator[Range]:
            Told.times += 1
            return super().__iter__()

    turns = Told((2 * i, 2 * i + 1) for i in range(500))
    program = Program(tuple(operation(3, 5, scope=turns) for _ in range(8)))
    ledger, device = ledger_of(program), Device.right(program, 1000)
    device.process(ledger, 0, 1000)
    Told.times = 0
    assert ledger.check(1000) is None
    assert [c.tokens for i in range(8) for c in counts(ledger, i, 1000)] == [500] * 16
    assert Told.times == 8, "once for each operation, however many runs"
    device.flip(700, 3, 5)
    again = ledger_of(program)
    device.process(again, 0, 1000)
    assert again.check(1000) == Mismatch(3, 5, 1, 0)


PROGRAMS = st.lists(
    st.builds(
        lambda sites, scope: operation(*sorted(sites), scope=scope),
        st.sets(st.integers(0, SITES - 1), min_size=1, max_size=4),
        st.sampled_from([PROMPT, GENERATION, ALL]),
    ),
    min_size=1,
    max_size=TABLE,
).map(lambda operations: Program(tuple(operations)))
#: Passes of 1 to 9 tokens; before some the request is preempted and goes back to a position.
PASSES = st.lists(st.tuples(st.integers(1, 9), st.none() | st.integers(0, 30)), max_size=12)


def run(ledger: Ledger, device: Device, cached: int, passes: list[tuple[int, int | None]]) -> None:
    """The passes, and then what is left."""
    total, at = len(device.rows), cached
    for tokens, back in passes:
        if back is not None:
            at = min(at, back)
        end = min(total, at + tokens)
        if at < end:
            device.process(ledger, at, end)
        at = end
    if at < total:
        device.process(ledger, at, total)


@examples
@given(PROGRAMS, st.integers(0, PROMPT_TOKENS - 1), st.integers(0, 12), PASSES)
def test_a_right_run_balances_however_it_is_cut(
    program: Program, cached: int, generated: int, passes: list[tuple[int, int | None]]
) -> None:
    end = PROMPT_TOKENS + generated
    ledger = ledger_of(program)
    run(ledger, Device.right(program, end), cached, passes)
    assert ledger.check(end) is None
    for i in range(len(program.operations)):
        assert {c.tokens for c in counts(ledger, i, end)} == {in_scope(ledger, i, end)}
    assert ledger.processed_tokens(end) + ledger.cached_tokens == end


@examples
@given(PROGRAMS, st.integers(0, PROMPT_TOKENS - 1), st.integers(0, 12), PASSES, st.data())
def test_one_flipped_bit_never_balances(
    program: Program,
    cached: int,
    generated: int,
    passes: list[tuple[int, int | None]],
    data: st.DataObject,
) -> None:
    end = PROMPT_TOKENS + generated
    device = Device.right(program, end)
    position = data.draw(st.integers(cached, end - 1), "position")
    device.flip(
        position, data.draw(st.integers(0, TABLE - 1)), data.draw(st.integers(0, SITES - 1))
    )
    ledger = ledger_of(program)
    run(ledger, device, cached, passes)
    assert ledger.check(end) is not None


GATED = Program((operation(3, 5, gate=Gate("sad", vectors("s"), None, 0.0, 1.0)),))


def test_a_gate_may_leave_tokens_out_and_let_none_in() -> None:
    ledger, device = ledger_of(GATED), Device.right(GATED, END)
    for position in (1, 2, 7):
        device.flip(position, 0, 3)
    device.process(ledger, 0, END)
    assert ledger.check(END) is None
    assert [c.tokens for c in counts(ledger, 0, END)] == [7, 10]
    stray = Device.right(GATED, END)
    stray.flip(4, 0, 6)
    wrong = ledger_of(GATED)
    stray.process(wrong, 0, END)
    assert wrong.check(END) == Mismatch(0, 6, 0, 1)


def test_steps_that_depend_on_the_token_are_counted_where_they_were_made() -> None:
    """Also when a token is computed anew: the last time counts."""
    fading = operation(7, envelope=Envelope(PROMPT_TOKENS, 0.0, 4.0))
    program = Program((operation(2), operation(3, 5, action=SET), fading))
    ledger, device = ledger_of(program), Device.right(program, 4)
    first = np.array([[9, 9, 9], [1, 2, 3], [-4, 5, 6], [0, 0, 0]], dtype=np.float32)
    ledger.add(0, 4, device.rows, first.reshape(-1))
    ledger.add(3, 1, device.rows[3:], np.array([7, 8, -2], dtype=np.float32))
    assert ledger.check(4) is None
    assert counts(ledger, 0, 4) == [SiteCount(2, 4, 0, 3, 1.0, 1.0)]
    assert counts(ledger, 1, 4) == [
        SiteCount(3, 4, 0, 3, 21 / 4, 9.0),
        SiteCount(5, 4, 0, 3, 6.0, 9.0),
    ]
    assert counts(ledger, 2, 3) == [SiteCount(7, 3, 0, 2, 6.0, 9.0)]


OTHER = Program((operation(5), operation(31, scope=GENERATION)))


def changed(device_start: int, told_start: int, second: Program) -> Ledger:
    """What a device does that changes programs at one position, told to at another."""
    ledger = ledger_of(PROGRAM)
    old, new = Device.right(PROGRAM, END), Device.right(second, END)
    ledger.change(told_start, second)
    old.process(ledger, 0, device_start)
    new.process(ledger, device_start, END)
    return ledger


@pytest.mark.parametrize("second", [OTHER, Program()])
@pytest.mark.parametrize("start", [1, 6, 9])
def test_a_changed_program_balances_from_where_it_holds(second: Program, start: int) -> None:
    ledger = changed(start, start, second)
    assert ledger.check(END) is None
    first, then = ledger.segments(END)
    assert (first.start, first.end, then.start, then.end) == (0, start, start, END)
    assert [ledger.in_scope(then, i) for i in range(len(second.operations))] == [
        END - start,
        END - max(start, PROMPT_TOKENS),
    ][: len(second.operations)]
    assert changed(start - 1, start, second).check(END) is not None
    assert changed(start + 1, start, second).check(END) is not None


def test_tokens_after_steering_has_ended_must_be_marked_with_nothing() -> None:
    ledger = ledger_of(PROGRAM)
    ledger.change(6, Program())
    Device.right(PROGRAM, END).process(ledger, 0, 6)
    ledger.add(6, END - 6, np.zeros((0, SITES), dtype=np.int32), NOTHING)
    assert ledger.check(END) == Mismatch(0, 0, END - 6, 0)


def test_a_program_that_never_held_leaves_no_trace() -> None:
    ledger = ledger_of(PROGRAM)
    ledger.change(6, OTHER, number=1)
    ledger.change(6, Program(), number=2)
    ledger.change(END + 3, OTHER, number=3)
    Device.right(PROGRAM, END).process(ledger, 0, 6)
    Device.right(Program(), END).process(ledger, 6, END)
    assert ledger.check(END) is None
    assert [s.number for s in ledger.segments(END)] == [0, 2]


def test_a_program_from_the_first_position_on() -> None:
    ledger = ledger_of(PROGRAM)
    ledger.change(0, OTHER, number=1)
    Device.right(OTHER, END).process(ledger, 0, END)
    assert ledger.check(END) is None
    first, then = ledger.segments(END)
    assert (first.end, then.start, then.end) == (0, 0, END)
    assert ledger.in_scope(first, 0) == 0


def test_steps_belong_to_their_own_program() -> None:
    measured = Program((operation(3, action=SET), operation(7, action=SET)))
    ledger = ledger_of(PROGRAM)
    ledger.change(8, measured)
    Device.right(PROGRAM, END).process(ledger, 0, 8)
    steps = np.array([1, -2, 3, 4], dtype=np.float32)
    ledger.add(8, 2, Device.right(measured, END).rows[8:], steps)
    assert ledger.check(END) is None
    then = ledger.segments(END)[1]
    assert ledger.counts(then, 0) == [SiteCount(3, 2, 8, 9, 2.0, 3.0)]
    assert ledger.counts(then, 1) == [SiteCount(7, 2, 8, 9, 3.0, 4.0)]
