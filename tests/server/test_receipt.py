"""The ledger: it balances for what was asked, and for nothing else."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_kernels.layout import applied_words
from vagus_server.plugin.wire import Mark
from vagus_server.steering.program import ALL, GENERATION, PROMPT, Operation, Program
from vagus_server.steering.receipt import Ledger, Mismatch, SiteCount

SITES, TABLE = 40, 8
PROMPT_TOKENS = 6


def operation(*sites: int, phases: int = ALL) -> Operation:
    n = len(sites)
    return Operation("calm", "c" * 64, 1, sites, (1.0,) * n, (0.1,) * n, phases)


@dataclass
class Device:
    """What a device marks; rows are uint32 [positions, operations, words]."""

    rows: np.ndarray

    @classmethod
    def right(cls, program: Program, positions: int) -> "Device":
        """The marks of one that does what the program asks."""
        rows = np.zeros((positions, TABLE, applied_words(SITES)), dtype=np.uint32)
        for i, asked in enumerate(program.operations):
            ((start, end),) = asked.scope(PROMPT_TOKENS)
            for site in asked.sites:
                rows[start:end, i, site // 32] |= np.uint32(1 << site % 32)
        return cls(rows)

    def flip(self, position: int, asked: int, site: int) -> None:
        self.rows[position, asked, site // 32] ^= np.uint32(1 << site % 32)

    def mark(self, position: int, tokens: int = 1) -> Mark:
        return Mark(position, tokens, self.rows[position].astype("<u4").tobytes())

    def process(self, ledger: Ledger, start: int, end: int) -> None:
        """One forward pass: a span, and its marks position by position."""
        ledger.add_spans([(start, end - start)])
        ledger.add_marks([self.mark(position) for position in range(start, end)])


def ledger_of(program: Program) -> Ledger:
    return Ledger(program, PROMPT_TOKENS, SITES, TABLE)


PROGRAM = Program(
    (
        operation(3, 35),
        operation(31, 32, phases=PROMPT),
        operation(0, 39, phases=GENERATION),
    )
)
END = 10


def test_a_run_as_asked_balances() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    for start, end in ((0, 4), (4, 6), (6, 7), (7, 10)):
        device.process(ledger, start, end)
    assert ledger.check(END) is None
    assert [ledger.in_scope(i, END) for i in range(3)] == [10, 6, 4]
    assert ledger.counts(1, END) == [SiteCount(31, 6, 0, 5), SiteCount(32, 6, 0, 5)]
    assert ledger.counts(2, END) == [SiteCount(0, 4, 6, 9), SiteCount(39, 4, 6, 9)]
    assert (ledger.cached_tokens, ledger.processed_tokens(END)) == (0, 10)
    assert ledger.steered_tokens(END) == 10


def test_joined_marks_are_the_same_as_single_ones() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    ledger.add_spans([(0, 6), (6, 4)])
    ledger.add_marks([device.mark(0, 6), device.mark(6, 4)])
    assert ledger.check(END) is None
    assert ledger.counts(0, END) == [SiteCount(3, 10, 0, 9), SiteCount(35, 10, 0, 9)]


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
    assert [ledger.in_scope(i, END) for i in range(3)] == [6, 2, 4]
    assert ledger.counts(1, END)[0] == SiteCount(31, 2, 4, 5)


def test_tokens_computed_anew_after_preemption_count_once() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    wrong = Device.right(PROGRAM, END)
    wrong.flip(7, 0, 3)
    wrong.process(ledger, 0, 8)
    device.process(ledger, 2, 5)
    device.process(ledger, 5, END)
    assert ledger.check(END) is None
    assert ledger.counts(0, END)[0] == SiteCount(3, END, 0, END - 1)
    assert ledger.processed_tokens(END) == END


def test_a_gap_between_passes_does_not_balance() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.process(ledger, 0, 6)
    device.process(ledger, 7, END)
    assert ledger.check(END) is not None


def test_a_gap_does_not_balance_though_every_token_is_marked() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    ledger.add_spans([(0, 6), (7, 3)])
    ledger.add_marks([device.mark(position) for position in range(END)])
    assert ledger.check(END) is not None


def test_a_run_that_stops_early_does_not_balance() -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    device.process(ledger, 0, END - 1)
    assert ledger.check(END) == Mismatch(0, 0, END, END - 1)


def test_nothing_at_all_does_not_balance() -> None:
    assert ledger_of(PROGRAM).check(END) == Mismatch(0, 0, END, 0)


@pytest.mark.parametrize("lost", range(END))
def test_a_missing_row_does_not_balance(lost: int) -> None:
    ledger, device = ledger_of(PROGRAM), Device.right(PROGRAM, END)
    ledger.add_spans([(0, END)])
    ledger.add_marks([device.mark(p) for p in range(END) if p != lost])
    assert ledger.check(END) == Mismatch(0, 0, END, END - 1)


def test_a_missing_row_out_of_scope_does_not_balance() -> None:
    """Nobody knows what was done to it."""
    program = Program((operation(3, phases=GENERATION),))
    ledger, device = ledger_of(program), Device.right(program, END)
    ledger.add_spans([(0, END)])
    ledger.add_marks([device.mark(p) for p in range(1, END)])
    assert ledger.check(END) == Mismatch(0, 0, END, END - 1)


WRONG = {
    "site missed": (5, 0, 35, Mismatch(0, 35, 10, 9)),
    "site not named": (5, 0, 4, Mismatch(0, 3, 0, 1)),
    "site of another operation": (5, 0, 32, Mismatch(0, 3, 0, 1)),
    "prompt operation on generation": (6, 1, 31, Mismatch(1, 31, 6, 7)),
    "generation operation on prompt": (5, 2, 39, Mismatch(2, 39, 4, 5)),
    "bit past the last site": (5, 0, 63, Mismatch(0, 3, 0, 1)),
    "operation that is not there": (5, 3, 3, Mismatch(3, 0, 0, 1)),
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
    assert ledger.counts(1, END)[0].tokens == ledger.in_scope(1, END) == 6
    assert ledger.check(END) is not None


def test_a_request_without_a_program_has_nothing_to_balance() -> None:
    assert ledger_of(Program()).check(END) is None


PROGRAMS = st.lists(
    st.builds(
        lambda sites, phases: operation(*sorted(sites), phases=phases),
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
        assert {c.tokens for c in ledger.counts(i, end)} == {ledger.in_scope(i, end)}
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
    bits = 32 * applied_words(SITES)
    device.flip(position, data.draw(st.integers(0, TABLE - 1)), data.draw(st.integers(0, bits - 1)))
    ledger = ledger_of(program)
    run(ledger, device, cached, passes)
    assert ledger.check(end) is not None
