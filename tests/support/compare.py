"""One answer of the server against the slow reference: tokens, readouts and receipt."""

from collections.abc import Sequence

import numpy as np

from support.calls import ids, rows
from support.reference import Pass, Reference
from support.slow import SlowCourse, SlowProgram
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import readout_pb2, steering_pb2

#: float32 sums over the hidden columns and all layers, in another order than Hugging Face's.
READOUTS = 1e-4
#: A gate that the reference sees this close to its bound may fall either way in float32.
GATE = 1e-4


def compare(
    reference: Reference,
    program: SlowProgram,
    prompt: list[int],
    response: generation.GenerateResponse,
    asked: readout_pb2.ReadoutSelection,
) -> bool:
    """Asserts that they agree; False where a gate is too close to its bound to call.

    `asked` is what was to be read: generated tokens, and the whole prompt or its last token.
    """
    generated = ids(response)
    expected = reference.run(prompt + generated[:-1], program)
    if program.margin < GATE:
        return False
    _check_tokens(expected, prompt, generated)
    _check_rows(expected, prompt, response, asked)
    if program.message.operations:
        receipt = response.finish.receipt
        check_receipt(program, receipt, len(prompt) + len(generated) - 1)
    else:
        assert not response.finish.HasField("receipt")
    return True


def compare_course(
    reference: Reference,
    course: SlowCourse,
    prompt: list[int],
    response: generation.GenerateResponse,
    asked: readout_pb2.ReadoutSelection,
) -> bool:
    """The same for a request whose program was changed while it ran."""
    generated = ids(response)
    expected = reference.run(prompt + generated[:-1], course)
    if course.margin < GATE:
        return False
    _check_tokens(expected, prompt, generated)
    _check_rows(expected, prompt, response, asked)
    check_course(course, response.finish.receipt, len(prompt) + len(generated) - 1)
    return True


def check_course(course: SlowCourse, receipt: steering_pb2.Receipt, end: int) -> None:
    """Every count, dose and bound of a changed request's receipt, before end."""
    assert receipt.processed_tokens == end - receipt.cached_tokens
    starts = [start for start, _ in course.parts]
    windows = [(a, min(b, end)) for a, b in zip(starts, [*starts[1:], end], strict=True)]
    parts = [(w, p) for w, (_, p) in zip(windows, course.parts, strict=True)]
    (first, program), *changed = parts
    changed = [(window, program) for window, program in changed if window[0] < window[1]]
    check_operations(program, receipt.operations, max(first[0], receipt.cached_tokens), first[1])
    assert [(c.from_position, c.to_position) for c in receipt.changes] == [w for w, _ in changed]
    for (window, program), told in zip(changed, receipt.changes, strict=True):
        start = max(window[0], receipt.cached_tokens)
        check_operations(program, told.operations, start, window[1])


def _check_tokens(expected: Pass, prompt: list[int], generated: list[int]) -> None:
    for i, token in enumerate(generated):
        at = expected.logits[len(prompt) - 1 + i]
        assert at.max() - at[token] <= 1e-3, f"token {i} is not the greedy one"


def _check_rows(
    expected: Pass,
    prompt: list[int],
    response: generation.GenerateResponse,
    asked: readout_pb2.ReadoutSelection,
) -> None:
    assert asked.generation
    told = rows(response)
    # The last token that was generated is not processed any more.
    end = len(prompt) + len(response.tokens) - 1
    assert sorted(told) == list(range(0 if asked.prompt else len(prompt) - 1, end))
    for position, row in told.items():
        error = np.abs(row - expected.rows[position]).max() / expected.norms[position]
        assert error < READOUTS, f"readout at position {position} is off by {error:.2e}"


def check_receipt(program: SlowProgram, receipt: steering_pb2.Receipt, end: int) -> None:
    """Every count and dose of the receipt, for the positions before end."""
    cached = receipt.cached_tokens
    assert receipt.processed_tokens == end - cached
    check_operations(program, receipt.operations, cached, end)


def check_operations(
    program: SlowProgram,
    entries: Sequence[steering_pb2.OperationReceipt],
    start: int,
    end: int,
) -> None:
    """Every count and dose of a program's entries, for the positions in [start, end)."""
    assert len(entries) == len(program.message.operations)
    for p, (asked, told) in enumerate(zip(program.message.operations, entries, strict=True)):
        positions = range(start, end)
        assert told.concept == asked.concept
        assert told.tokens_in_scope == sum(program.in_scope(asked, q) for q in positions)
        assert told.gated == asked.HasField("gate")
        assert [site.site for site in told.sites] == program.sites_of(asked)
        for site in told.sites:
            steps = {
                q: step
                for q, step in program.acted.get((p, site.site), {}).items()
                if start <= q < end
            }
            assert site.tokens == len(steps), f"operation {p} at site {site.site}"
            if not steps:
                assert not site.HasField("first_position")
                continue
            assert (site.first_position, site.last_position) == (min(steps), max(steps))
            doses = np.abs(list(steps.values())) / program.concepts.norms[site.site]
            # A step is a difference of float32 projections of the stream's size.
            room = {"rel": 1e-3, "abs": 1e-3}
            assert abs(site.mean_dose - doses.mean()) <= room["abs"] + room["rel"] * doses.mean()
            assert abs(site.max_dose - doses.max()) <= room["abs"] + room["rel"] * doses.max()
