"""Checks that hold for every implementation of the site operations."""

from collections.abc import Callable

import torch
from kernel_cases import SPARE, Case
from kernel_oracle import Expected, expect, rms_norm
from torch import Tensor

from vagus_kernels.layout import (
    ADD,
    GATE_NONE,
    GATE_STORED,
    SET,
    TEST,
    SiteTables,
)

#: stream, addend, *tables -> None
InPlace = Callable[..., None]
#: hidden, residual, weight, eps, plus_one, *tables -> (normed, stream)
Fused = Callable[..., tuple[Tensor, Tensor]]

EPS = 1e-5
#: How far float32 arithmetic may be off, in units of its epsilon times the norm of the row.
#: The cases' worst is 0.8; orders of summation differ between devices.
FLOAT32_STEPS = 4.0
#: How far a readout from tensor cores may be off, in norms of the row: the stream is rounded
#: to tf32, and sums of 8192 products, 8 at a time, are cut off to float32 after each.
TF32 = 2.0**-11 + 2.0**-12


def bits(tensor: Tensor) -> Tensor:
    """The tensor's bit patterns, so that NaN equals NaN and 0 is not -0."""
    same_size = {2: torch.int16, 4: torch.int32}
    return tensor.contiguous().view(same_size[tensor.element_size()]).cpu()


def gaps(tensor: Tensor) -> Tensor:
    """What lies between the rows of a tensor whose row stride is above its width."""
    rows, width = tensor.shape
    stride = tensor.stride(0) if rows else width
    storage = torch.as_strided(tensor, (rows, stride), (stride, 1))
    return bits(storage[:, width:])


def slack_of(case: Case, expected: Expected) -> Tensor:
    """How far float32 arithmetic may be off, for each row."""
    slack = FLOAT32_STEPS * torch.finfo(torch.float32).eps * expected.norm.nan_to_num()
    close = expected.margin > FLOAT32_STEPS * torch.finfo(torch.float32).eps
    assert close or not case.rows, "a gate too close to call"
    return slack


def check_in_place(op: InPlace, case: Case, device: str = "cpu", ulps: float = 0.5) -> None:
    """Runs the case with `op` and compares everything within its reach with the oracle's.

    Tolerances: arithmetic is float32, so a row of norm n may be off by a few eps n; the
    stream is then rounded to its dtype once, which costs half a unit in the last place. What
    nothing acts on keeps its bits.
    """
    stream, addend, tables = case.build(device)
    before, addend_before, tables_before = case.build(device)
    expected = expect(stream, addend, tables)
    slack, acted = slack_of(case, expected), expected.acted

    op(stream, addend, *tables)

    moved = before.double().cpu() + expected.x - expected.start
    error = (stream.double().cpu() - moved)[acted].abs()
    rounding = ulps * torch.finfo(case.dtype).eps * moved[acted].abs()
    assert (error <= rounding + slack[acted, None]).all(), f"stream off by {error.max()}"
    assert torch.equal(bits(stream)[~acted], bits(before)[~acted])
    assert torch.equal(gaps(stream), gaps(before))
    if addend is not None and addend_before is not None:
        assert torch.equal(bits(addend), bits(addend_before))
        assert torch.equal(gaps(addend), gaps(addend_before))
    check_tables(case, tables, tables_before, expected, slack, device)


def check_fused(
    op: Fused, case: Case, plus_one: bool, device: str = "cpu", ulps: float = 0.5
) -> None:
    """The same for the operation with the norm."""
    hidden, residual, tables = case.build(device)
    hidden_before, residual_before, tables_before = case.build(device)
    assert residual is not None
    assert residual_before is not None
    expected = expect(hidden, residual, tables)
    slack = slack_of(case, expected)

    normed, stream = op(hidden, residual, case.weight(device), EPS, plus_one, *tables)

    finite = expected.x.isfinite().all(1)
    error = (stream.double().cpu() - expected.x)[finite].abs()
    rounding = ulps * torch.finfo(case.dtype).eps * expected.x[finite].abs()
    assert (error <= rounding + slack[finite, None]).all(), f"stream off by {error.max()}"
    want = rms_norm(expected.x, case.weight(), EPS, plus_one)[finite]
    # Rounded to the dtype twice where the weight multiplies in it.
    relative = (2 if plus_one else 4) * ulps * torch.finfo(case.dtype).eps
    spread = slack[finite, None] / expected.norm[finite, None].clamp(min=1e-30) * 8
    room = relative * want.abs() + spread * (1 + want.abs()) * case.hidden**0.5
    error = (normed.double().cpu()[finite] - want).abs()
    assert (error <= room + 1e-7).all(), f"norm off by {(error - room).max()}"
    for now, then in ((hidden, hidden_before), (residual, residual_before)):
        assert torch.equal(bits(now), bits(then)), "an input was overwritten"
    check_tables(case, tables, tables_before, expected, slack, device)


def check_idle_rows_are_plain(op: Fused, case: Case, device: str = "cpu") -> None:
    """A row that nothing acts on has the bits that it has where nobody is steered at all."""
    hidden, residual, tables = case.build(device)
    acted = expect(hidden, residual, tables).acted
    outputs = op(hidden, residual, case.weight(device), EPS, False, *tables)
    _, _, idle = case.build(device)
    idle.site.zero_()
    plain = op(hidden, residual, case.weight(device), EPS, False, *idle)
    for ours, theirs in zip(outputs, plain, strict=True):
        assert torch.equal(bits(ours)[~acted], bits(theirs)[~acted])


def check_tables(
    case: Case,
    tables: SiteTables,
    before: SiteTables,
    expected: Expected,
    slack: Tensor,
    device: str,
) -> None:
    """Readouts, marks and steps are as expected, and nothing else was touched."""
    n = case.rows
    if case.reading and case.concepts and n:
        splits, rows = tables.readout_shape.tolist()
        assert rows == n
        parts = tables.readout.cpu()[: splits * n].view(splits, n, case.concepts)
        readout = parts.double().sum(0)
        assert torch.equal(readout.isnan(), expected.readout.isnan())
        room = TF32 * expected.norm.nan_to_num() if device == "cuda" else 2 * slack
        # The kernels round the stream to tf32 before the product, torch does not.
        errors = [
            (readout - want).nan_to_num().abs() for want in (expected.readout, expected.rounded)
        ]
        off = min(float((error - room[:, None]).max()) for error in errors)
        assert off <= 0, f"readout off by {off} more than it may be"
        assert torch.equal(bits(tables.readout[splits * n :]), bits(before.readout[splits * n :]))
    else:
        assert torch.equal(bits(tables.readout), bits(before.readout))
    marked = expected.acted
    assert torch.equal(tables.marks.cpu()[:n][marked], expected.marks[marked])
    # Rows on which nothing acted may say so or say nothing: they are cleared before a pass.
    silent = tables.marks.cpu()[:n][~marked]
    assert ((silent == 0) | (silent == before.marks.cpu()[:n][~marked])).all()
    steps = tables.steps.double().cpu()[:n]
    assert torch.equal(steps.isnan(), expected.steps.isnan())
    error = (steps - expected.steps).nan_to_num().abs()
    assert (error <= 2 * slack[:, None] + 1e-6 * expected.steps.nan_to_num().abs()).all()
    assert torch.equal(tables.row_gates.cpu()[:n], expected.gates[:n])
    for name in ("marks", "steps", "row_gates"):
        past = slice(n, n + SPARE)
        assert torch.equal(bits(getattr(tables, name)[past]), bits(getattr(before, name)[past]))
    written = ("row_gates", "marks", "steps", "readout", "readout_shape")
    for name in tables._fields:
        if name not in written:
            assert torch.equal(bits(getattr(tables, name)), bits(getattr(before, name))), name


def check_gate_of_an_earlier_site(op: InPlace, device: str = "cpu") -> None:
    """A test at one site opens an operation at the next, on the rows that passed it alone."""
    nan = float("nan")
    shape = {"site": torch.tensor([1, 0, 0, 0], dtype=torch.int32)}

    def tables(kind: int, gate: int, floats: list[float], gates: Tensor) -> SiteTables:
        values = SiteTables(
            vectors=torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]], dtype=torch.float16),
            program_count=torch.tensor([0, 1], dtype=torch.int32),
            program_int=torch.tensor([[[0] * 4] * 2, [[kind, 0, 2, gate], [0] * 4]]).int(),
            program_float=torch.tensor([[[nan] * 8] * 2, [floats, [nan] * 8]]),
            row_slot=torch.ones(2, dtype=torch.int32),
            row_flags=torch.ones(2, dtype=torch.int32),
            row_scale=torch.full((2, 1), nan),
            row_gates=gates,
            marks=torch.zeros(2, dtype=torch.int32),
            steps=torch.zeros(2, 1),
            readout_vectors=torch.zeros(0, 2, dtype=torch.float16),
            readout_scale=torch.zeros(0),
            readout=torch.zeros(8, 0),
            readout_shape=torch.zeros(2, dtype=torch.int32),
            **shape,
        )
        return SiteTables(*(table.to(device) for table in values))

    stream = torch.tensor([[1.0, 0.0], [3.0, 0.0]], device=device)
    gates = torch.zeros(2, dtype=torch.int32)
    test = tables(TEST, 1, [nan, nan, nan, 2.0, 4.0, 0.5, nan, nan], gates)
    op(stream, None, *test)
    assert test.row_gates.tolist() == [0, 1]
    assert test.marks.tolist() == [0, 0]
    act = tables(SET, GATE_STORED, [7.0, nan, 0.25, nan, nan, nan, nan, nan], test.row_gates.cpu())
    op(stream, None, *act)
    assert stream.tolist() == [[1.0, 0.0], [3.0, 7.0]]
    assert act.marks.tolist() == [0, 1]
    assert act.steps.tolist() == [[0.0], [7.0]]
    everywhere = tables(ADD, GATE_NONE, [1.0, nan, 0.25, nan, nan, nan, nan, nan], gates)
    op(stream, None, *everywhere)
    assert stream.tolist() == [[1.0, 1.0], [3.0, 8.0]]


def check_far_rows(fused: Fused, in_place: InPlace, device: str) -> None:
    """Rows whose offset does not fit 32 bits are the ones that are meant."""
    near, near_residual, tables = Case(rows=3, hidden=64, addend=True).build(device)
    assert near_residual is not None
    stride = 2**30 + 64
    storage = torch.empty(2 * stride + 64, dtype=torch.float32, device=device)

    def far(values: Tensor) -> Tensor:
        spread = torch.as_strided(storage, (3, 64), (stride, 1))
        spread.copy_(values)
        return spread

    weight = torch.ones(64, device=device)
    arguments = (weight, EPS, False, *tables)
    want = fused(near, near_residual, *arguments)
    for got, expected in zip(fused(far(near), near_residual, *arguments), want, strict=True):
        assert torch.equal(bits(got), bits(expected))
    steered = near.clone()
    in_place(steered, near_residual, *tables)
    spread = far(near)
    in_place(spread, near_residual, *tables)
    assert torch.equal(bits(spread), bits(steered))
