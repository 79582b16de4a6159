"""The site operations in plain torch: the oracle of the tests and the CPU implementation.

Work is done only for rows that are steered or read; with neither it is two scalar reads.
"""

import torch
from torch import Tensor

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_STORED,
    OPERATIONS_MASK,
    READ_FLAG,
    SCALE_FLAG,
    SET,
    TEST,
    SiteTables,
)


def steer_read_(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
    """Runs every row's program on the residual stream and writes its readouts, in place.

    Args:
        stream: [N, H], any float dtype; steering is added to it, rounded once.
        addend: [N, H] or None; the residual stream is stream + addend where a model keeps it
            in two parts. It is only read.
        tables: see `layout.SiteTables`. Arithmetic is float32, or float64 when stream is.
    """
    t = SiteTables(*tables)
    steering, reading = t.site[:2].tolist()
    if reading:
        _read(stream, addend, t)
    if steering and (moved := _steer(stream, addend, t)) is not None:
        rows, start, x = moved
        stream[rows] = (stream[rows].to(x.dtype) + (x - start)).to(stream.dtype)


def steer_add_rms_norm(
    hidden: Tensor, residual: Tensor, weight: Tensor, eps: float, plus_one: bool, *tables: Tensor
) -> tuple[Tensor, Tensor]:
    """The same on hidden + residual, with the RMSNorm that follows.

    Args:
        hidden, residual: [N, H], any float dtype; the residual stream is their sum.
        weight: [H], of the norm.
        eps: of the norm.
        plus_one: multiplies by 1 + weight in float32, as Gemma does, instead of by weight in
            weight's dtype.
        tables: see `layout.SiteTables`. Arithmetic is float32, or float64 when hidden is.

    Returns:
        The normed stream and the stream, both [N, H] in hidden's dtype, rounded once.
    """
    t = SiteTables(*tables)
    steering, reading = t.site[:2].tolist()
    if reading:
        _read(hidden, residual, t)
    dtype = _acc(hidden)
    x = hidden.to(dtype) + residual.to(dtype)
    if steering and (moved := _steer(hidden, residual, t)) is not None:
        x[moved[0]] = moved[2]
    y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    y = y * (weight.to(dtype) + 1) if plus_one else y.to(weight.dtype) * weight
    return y.to(hidden.dtype), x.to(hidden.dtype)


def _acc(stream: Tensor) -> torch.dtype:
    return torch.float64 if stream.dtype == torch.float64 else torch.float32


def _stream_rows(stream: Tensor, addend: Tensor | None, rows: Tensor) -> Tensor:
    """The residual stream of some rows, [len(rows), H], in the accumulation dtype, as a copy."""
    dtype = _acc(stream)
    x = stream[rows].to(dtype)
    return x if addend is None else x + addend[rows].to(dtype)


def _read(stream: Tensor, addend: Tensor | None, t: SiteTables) -> None:
    n = stream.shape[0]
    t.readout_shape[0], t.readout_shape[1] = 1, n
    rows = (t.row_flags[:n] & READ_FLAG).nonzero().squeeze(1)
    if rows.numel() and t.readout_vectors.shape[0]:
        x = _stream_rows(stream, addend, rows)
        along = (x @ t.readout_vectors.to(x.dtype).T) * t.readout_scale
        t.readout[rows] = along.to(t.readout.dtype)


def _steer(
    stream: Tensor, addend: Tensor | None, t: SiteTables
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Runs the programs: the rows that an operation acted on, and their x before and after.

    Where nothing acted a row keeps its bits: x - start is NaN for inf, and -0 + 0 is 0.
    """
    n = stream.shape[0]
    rows = (t.row_flags[:n] & OPERATIONS_MASK).nonzero().squeeze(1)
    if not rows.numel():
        return None
    x = _stream_rows(stream, addend, rows)
    start = x.clone()
    marks = _run_programs(x, rows, t)
    some = marks != 0
    if not some.any():
        return None
    t.marks[rows] = marks
    return rows[some], start[some], x[some]


def _run_programs(x: Tensor, rows: Tensor, t: SiteTables) -> Tensor:
    """Runs the programs of `rows` on x, [R, H], in place; returns the marks, int32 [R]."""
    flags, slots = t.row_flags[rows], t.row_slot[rows].long()
    counts = t.program_count[slots]
    ints, floats = t.program_int[slots], t.program_float[slots].to(x.dtype)
    marks = torch.zeros_like(flags)
    for i in range(int(counts.max())):
        kind, p, vector, gate = ints[:, i].unbind(1)
        bit = torch.ones_like(flags) << p.clamp(0, 27)
        on = (i < counts) & ((flags & bit) != 0)
        on = _hold(on, x, rows, gate, bit, floats[:, i], t)
        tests = (kind == TEST) & (i < counts) & ((flags & bit) != 0)
        if tests.any():
            found = t.row_gates[rows[tests]]
            held = torch.where(on[tests], found | bit[tests], found & ~bit[tests])
            t.row_gates[rows[tests]] = held
        on = (on & ~tests).nonzero().squeeze(1)
        if on.numel():
            step = _move(
                x, on, kind[on], vector[on], floats[on, i], _scale(on, rows, p, flags, t), t
            )
            t.steps[rows[on], p[on].long()] = step.to(t.steps.dtype)
            marks[on] |= bit[on]
    return marks


def _hold(
    on: Tensor, x: Tensor, rows: Tensor, gate: Tensor, bit: Tensor, floats: Tensor, t: SiteTables
) -> Tensor:
    """Which of the rows in `on` have an open gate, bool [R]."""
    stored = on & (gate == GATE_STORED)
    if stored.any():
        on = on & (~stored | ((t.row_gates[rows] & bit) != 0))
    gated = (on & (gate >= 0)).nonzero().squeeze(1)
    if gated.numel():
        g = t.vectors[gate[gated].long()].to(x.dtype)
        value = (x[gated] * g).sum(1) * floats[gated, 5]
        on = on.clone()
        on[gated] = (value >= floats[gated, 3]) & (value <= floats[gated, 4])
    return on


def _scale(on: Tensor, rows: Tensor, p: Tensor, flags: Tensor, t: SiteTables) -> Tensor | None:
    scaled = (flags[on] & SCALE_FLAG) != 0
    if not scaled.any():
        return None
    factors = t.row_scale[rows[on], p[on].long()]
    return torch.where(scaled, factors, torch.ones_like(factors))


def _move(
    x: Tensor,
    on: Tensor,
    kind: Tensor,
    vector: Tensor,
    floats: Tensor,
    scale: Tensor | None,
    t: SiteTables,
) -> Tensor:
    """Moves rows `on` of x by one operation each; returns the steps, [len(on)]."""
    a, b, inverse = floats[:, :3].unbind(1)
    v = t.vectors[vector.long()].to(x.dtype)
    step = a
    if bool((kind != ADD).any()):
        along = (x[on] * v).sum(1) * inverse
        step = torch.where(kind == ABLATE, -a * along, step)
        step = torch.where(kind == SET, a - along, step)
        step = torch.where(kind == CLAMP, along.clamp(a, b) - along, step)
    if scale is not None:
        step = step * scale.to(step.dtype)
    x[on] += (step * inverse).unsqueeze(1) * v
    return step


def tap_(stream: Tensor, addend: Tensor | None, ranges: Tensor, sums: Tensor) -> None:
    """Adds up ranges of rows of the residual stream.

    Args:
        stream: [N, H], any float dtype.
        addend: [N, H] or None; the residual stream is stream + addend.
        ranges: int32 [G, 2], half-open, of rows; empty ones do nothing.
        sums: float32 [G, H + 1]; x is added to the first H columns, |x| to the last.
    """
    starts, ends = ranges.long().unbind(1)
    lengths = (ends - starts).clamp(min=0)
    # Rows of all ranges one after another: a few large operations instead of many small ones.
    group = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    if not len(group):
        return
    before = lengths.cumsum(0) - lengths
    rows = torch.arange(len(group)) + (starts - before)[group]
    x = stream[rows].float()
    if addend is not None:
        x += addend[rows].float()
    sums[:, :-1].index_add_(0, group, x)
    sums[:, -1].index_add_(0, group, torch.linalg.vector_norm(x, dim=1))
