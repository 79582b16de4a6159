"""The site operation in plain torch: the oracle of the tests and the CPU implementation.

Work is done only for rows that are steered or read; with neither it is two scalar reads.
"""

import torch
from torch import Tensor

from vagus_kernels.layout import ABLATE, ADD, CLAMP, GATE_NONE, OPERATIONS_MASK, READ_FLAG, SET


def steer_read_(
    stream: Tensor,
    addend: Tensor | None,
    vectors: Tensor,
    program_int: Tensor,
    program_float: Tensor,
    row_slot: Tensor,
    row_flags: Tensor,
    site: Tensor,
    readout_vectors: Tensor,
    readout: Tensor,
    applied: Tensor,
) -> None:
    """Runs every row's program on the residual stream and writes its readouts, in place.

    Args:
        stream: [N, H], any float dtype; steering is added to it, rounded once.
        addend: [N, H] or None; the residual stream is stream + addend where a model keeps it
            in two parts. It is only read.
        vectors ... applied: see `layout`. Arithmetic is float32, or float64 when stream is.
    """
    index, steering, reading = site[:3].tolist()
    reading = reading and readout_vectors.shape[0]
    if not (steering or reading):
        return
    n = stream.shape[0]
    flags = row_flags[:n]
    if reading:
        rows = (flags & READ_FLAG).nonzero().squeeze(1)
        if rows.numel():
            before = _stream_rows(stream, addend, rows) @ readout_vectors.to(_acc(stream)).T
            readout[rows] = before.unsqueeze(-1).expand(-1, -1, 2).to(readout.dtype)
    if not steering:
        return
    rows = (flags & OPERATIONS_MASK).nonzero().squeeze(1)
    if not rows.numel():
        return
    x = _stream_rows(stream, addend, rows)
    start = x.clone()
    slots = row_slot[:n][rows].long()
    acted = _run_programs(x, flags[rows], program_int[slots], program_float[slots], vectors)
    # Where nothing acted the row keeps its bits: x - start is NaN for inf, and -0 + 0 is 0.
    some = acted.any(1)
    if not some.any():
        return
    rows, x, start, acted = rows[some], x[some], start[some], acted[some]
    stream[rows] = (stream[rows].to(x.dtype) + (x - start)).to(stream.dtype)
    applied[rows, :, index // 32] |= acted.to(torch.int32) << (index % 32)
    if reading:
        read = (flags[rows] & READ_FLAG) != 0
        after = x[read] @ readout_vectors.to(x.dtype).T
        readout[rows[read], :, 1] = after.to(readout.dtype)


def _acc(stream: Tensor) -> torch.dtype:
    return torch.float64 if stream.dtype == torch.float64 else torch.float32


def _stream_rows(stream: Tensor, addend: Tensor | None, rows: Tensor) -> Tensor:
    """The residual stream of some rows, [len(rows), H], in the accumulation dtype, as a copy."""
    dtype = _acc(stream)
    x = stream[rows].to(dtype)
    return x if addend is None else x + addend[rows].to(dtype)


def _run_programs(
    x: Tensor, flags: Tensor, ints: Tensor, floats: Tensor, vectors: Tensor
) -> Tensor:
    """Runs the programs of all rows of x, [R, H], in place; says which operations acted.

    ints, floats are [R, P, 4]. Returns bool [R, P].
    """
    operations = ints.shape[1]
    bits = torch.arange(operations, device=flags.device, dtype=flags.dtype)
    acted = ((flags.unsqueeze(1) >> bits) & 1).bool() & (ints[:, :, 0] != 0)
    for p in acted.any(0).nonzero().squeeze(1).tolist():
        on = acted[:, p].nonzero().squeeze(1)
        kind, vector, gate, _ = ints[on, p].unbind(1)
        a, b, gate_lower, gate_upper = floats[on, p].to(x.dtype).unbind(1)
        u = vectors[vector.long()].to(x.dtype)
        if bool((gate != GATE_NONE).any()):
            value = (x[on] * vectors[gate.clamp(min=0).long()].to(x.dtype)).sum(1)
            holds = (gate == GATE_NONE) | ((value >= gate_lower) & (value <= gate_upper))
            acted[on[~holds], p] = False
            on, kind, a, b, u = on[holds], kind[holds], a[holds], b[holds], u[holds]
        if bool((kind == ADD).all()):
            step = a
        else:
            along = (x[on] * u).sum(1)
            step = torch.where(kind == ADD, a, torch.zeros_like(a))
            step = torch.where(kind == ABLATE, -a * along, step)
            step = torch.where(kind == SET, a - along, step)
            step = torch.where(kind == CLAMP, along.clamp(a, b) - along, step)
        x[on] += step.unsqueeze(1) * u
    return acted
