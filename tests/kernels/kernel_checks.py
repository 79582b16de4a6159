"""Checks that hold for every implementation of the site operation."""

from collections.abc import Callable

import torch
from kernel_cases import Case
from kernel_oracle import expect
from torch import Tensor

from vagus_kernels.layout import ADD, GATE_NONE, SET, SiteTables

Op = Callable[..., None]

#: How far float32 arithmetic may be off, in units of its epsilon times the norm of the row.
#: The cases' worst is 0.8; orders of summation differ between devices.
FLOAT32_STEPS = 4.0


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


def check(op: Op, case: Case, device: str = "cpu", ulps: float = 0.5) -> None:
    """Runs the case with `op` and compares everything within its reach with the oracle's.

    Tolerances: arithmetic is float32, so a row of norm n may be off by a few eps n; the
    stream is then rounded to its dtype once, which costs half a unit in the last place. What
    nothing acts on keeps its bits.
    """
    stream, addend, tables = case.build(device)
    stream_before, addend_before, tables_before = case.build(device)
    expected = expect(stream, addend, tables)
    acted, quiet = expected.acted, ~expected.acted
    slack = FLOAT32_STEPS * torch.finfo(torch.float32).eps * expected.norm.nan_to_num()
    assert expected.margin > slack.amax() if case.rows else True, "a gate too close to call"

    op(stream, addend, *tables)

    error = (stream.double().cpu() - expected.stream)[acted].abs()
    rounding = ulps * torch.finfo(case.dtype).eps * expected.stream[acted].abs()
    assert (error <= rounding + slack[acted, None]).all(), f"stream off by {error.max()}"
    assert torch.equal(bits(stream)[quiet], bits(stream_before)[quiet])
    assert torch.equal(gaps(stream), gaps(stream_before))

    readout = tables.readout.double().cpu()
    assert torch.equal(readout.isnan(), expected.readout.isnan())
    error = (readout - expected.readout).nan_to_num()[: case.rows].abs()
    assert (error <= slack[:, None, None]).all(), f"readout off by {error.max()}"
    unmoved = bits(tables.readout)[: case.rows][quiet]
    assert torch.equal(unmoved[..., 0], unmoved[..., 1])

    assert torch.equal(tables.applied.cpu(), expected.applied)

    for now, before in zip(tables[:7], tables_before[:7], strict=True):
        assert torch.equal(bits(now), bits(before))
    if addend is not None and addend_before is not None:
        assert torch.equal(bits(addend), bits(addend_before))
        assert torch.equal(gaps(addend), gaps(addend_before))


def check_sites_accumulate(op: Op, device: str = "cpu") -> None:
    """Four sites on one row: operation 0 adds 1; operation 1's gate is a single point, 2."""
    nan = float("nan")
    tables = SiteTables(
        vectors=torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        program_int=torch.tensor([[[0] * 4] * 2, [[ADD, 1, GATE_NONE, 0], [SET, 2, 1, 0]]]),
        program_float=torch.tensor([[[nan] * 4] * 2, [[1.0, nan, nan, nan], [7.0, nan, 2.0, 2.0]]]),
        row_slot=torch.tensor([1]),
        row_flags=torch.tensor([0b11]),
        site=torch.tensor([0, 1, 0, 0]),
        readout_vectors=torch.zeros(0, 2),
        readout=torch.zeros(1, 0, 2),
        applied=torch.zeros(1, 2, 2, dtype=torch.int32),
    )
    integers = (t if t.is_floating_point() else t.to(torch.int32) for t in tables)
    tables = SiteTables(*(table.to(device) for table in integers))
    stream = torch.zeros(1, 2, device=device)
    for index, second in ((0, 0.0), (31, 7.0), (32, 7.0), (63, 7.0)):
        tables.site[0] = index
        op(stream, None, *tables)
        assert stream[0, 1] == second
    assert stream[0, 0] == 4
    high = -(1 << 31)
    assert tables.applied.tolist() == [[[high | 1, high | 1], [high, 0]]]
