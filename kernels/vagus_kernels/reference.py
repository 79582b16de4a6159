"""The site operations in torch and numpy: the CPU implementation.

Work is done only for rows that are steered or read; with neither it is one look at `site`.
"""

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.layout import OPERATIONS_MASK, READ_FLAG, SiteTables
from vagus_kernels.run_programs import run_programs


def steer_read_(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
    """Runs every row's program on the residual stream and writes its readouts, in place.

    Args:
        stream: [N, H], any float dtype; steering is added to it, rounded once.
        addend: [N, H] or None; the residual stream is stream + addend where a model keeps it
            in two parts. It is only read.
        tables: see `layout.SiteTables`. Arithmetic is float32, or float64 when stream is.
    """
    t = SiteTables(*tables)
    steering, reading, _, _ = t.site.tolist()
    if steering or reading:
        steer_and_read(stream, addend, t, steering, reading)


def steer_and_read(
    stream: Tensor, addend: Tensor | None, t: SiteTables, steering: int, reading: int
) -> None:
    """`steer_read_` where its tables' `site` says that something is to be done."""
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
    steering, reading, _, _ = t.site.tolist()
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


def _stream_rows(stream: Tensor, addend: Tensor | None, rows: np.ndarray) -> Tensor:
    """The residual stream of some rows, [len(rows), H], in the accumulation dtype, as a copy."""
    dtype, at = _acc(stream), torch.from_numpy(rows)
    x = stream[at].to(dtype)
    return x if addend is None else x.add_(addend[at].to(dtype))


def _read(stream: Tensor, addend: Tensor | None, t: SiteTables) -> None:
    n = stream.shape[0]
    t.readout_shape.numpy()[:] = 1, n
    rows = np.flatnonzero(t.row_flags.numpy()[:n] & READ_FLAG)
    if len(rows) and t.readout_vectors.shape[0]:
        x = _stream_rows(stream, addend, rows)
        along = (x @ t.readout_vectors.to(x.dtype).T) * t.readout_scale
        t.readout[torch.from_numpy(rows)] = along.to(t.readout.dtype)


def _steer(
    stream: Tensor, addend: Tensor | None, t: SiteTables
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Runs the programs: the rows that an operation acted on, and their x before and after.

    Where nothing acted a row keeps its bits: x - start is NaN for inf, and -0 + 0 is 0.
    """
    flags = t.row_flags.numpy()[: stream.shape[0]]
    rows = np.flatnonzero(flags & OPERATIONS_MASK)
    if not len(rows):
        return None
    start = _stream_rows(stream, addend, rows)
    x = start.clone()
    # A stream may hold inf and NaN, which are not our warnings to give.
    with np.errstate(all="ignore"):
        marks = run_programs(x.numpy(), rows, flags[rows], t)
    if not marks.any():
        return None
    t.marks.numpy()[rows] = marks
    if marks.all():
        return torch.from_numpy(rows), start, x
    some = torch.from_numpy(marks != 0)
    return torch.from_numpy(rows)[some], start[some], x[some]


def tap_(stream: Tensor, addend: Tensor | None, ranges: Tensor, sums: Tensor) -> None:
    """Adds up ranges of rows of the residual stream.

    Args:
        stream: [N, H], any float dtype.
        addend: [N, H] or None; the residual stream is stream + addend.
        ranges: int32 [G, 2], half-open, of rows; empty ones do nothing.
        sums: float32 [G, H + 1]; x is added to the first H columns, |x| to the last.
    """
    filled = [(g, a, b) for g, (a, b) in enumerate(ranges.tolist()) if b > a]
    if not filled:
        return
    lengths = [b - a for _, a, b in filled]
    groups = torch.tensor([g for g, _, _ in filled])
    group = torch.repeat_interleave(groups, torch.tensor(lengths))
    # Rows of all ranges one after another: a few large operations instead of many small ones.
    x = torch.empty(len(group), stream.shape[1], dtype=torch.float32)
    for (_, a, b), part in zip(filled, x.split(lengths), strict=True):
        part.copy_(stream[a:b])
        if addend is not None:
            part.add_(addend[a:b])
    sums[:, :-1].index_add_(0, group, x)
    sums[:, -1].index_add_(0, group, torch.linalg.vector_norm(x, dim=1))
