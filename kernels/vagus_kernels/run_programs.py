"""The programs of rows, on a CPU.

In numpy: a batch has a few rows, and a call of torch costs more than what it does to them. What
is done to whole streams is left to torch's threads where there are many rows.
"""

import numpy as np
import torch

from vagus_kernels.layout import ABLATE, ADD, CLAMP, GATE_STORED, SCALE_FLAG, SET, TEST, SiteTables

#: Numbers in a stream from which on torch's threads are worth their call.
_LARGE = 1 << 17


def run_programs(x: np.ndarray, rows: np.ndarray, flags: np.ndarray, t: SiteTables) -> np.ndarray:
    """Runs the programs of some rows on their stream, in place.

    Args:
        x: float32 or float64 [R, H], the stream of the rows.
        rows: int64 [R], the rows in the tables.
        flags: int32 [R], of the rows.
        t: tables of the site, on the CPU; steps and gates are written.

    Returns:
        The marks, int32 [R].
    """
    slots = t.row_slot.numpy()[rows]
    counts = t.program_count.numpy()[slots]
    marks = np.zeros_like(flags)
    most = int(counts.max())
    ints = t.program_int.numpy()[slots, :most]
    floats = t.program_float.numpy()[slots, :most].astype(x.dtype, copy=False)
    gates, steps = t.row_gates.numpy(), t.steps.numpy()
    for i in range(most):
        kind, p, vector, gate = ints[:, i].T
        # Past a program's end there may be anything.
        bit = np.int32(1) << (p & 31)
        scope = (i < counts) & ((flags & bit) != 0)
        if not scope.any():
            continue
        on = _hold(scope, x, gates[rows] & bit, gate, floats[:, i], t)
        tests = scope & (kind == TEST)
        if tests.any():
            found = gates[rows[tests]]
            gates[rows[tests]] = np.where(on[tests], found | bit[tests], found & ~bit[tests])
            on &= ~tests
        # Most often all rows: a slice copies nothing.
        acting = slice(None) if on.all() else np.flatnonzero(on)
        mine = rows[acting]
        if len(mine):
            scale = _scale(mine, p[acting], flags[acting], t)
            step = _move(x, acting, kind[acting], vector[acting], floats[acting, i], scale, t)
            steps[mine, p[acting]] = step
            marks[acting] |= bit[acting]
    return marks


def _hold(
    scope: np.ndarray,
    x: np.ndarray,
    stored: np.ndarray,
    gate: np.ndarray,
    floats: np.ndarray,
    t: SiteTables,
) -> np.ndarray:
    """Which of the rows in scope have an open gate, bool [R]; `stored` is 0 where a test failed."""
    on = scope & ((gate != GATE_STORED) | (stored != 0))
    gated = np.flatnonzero(on & (gate >= 0))
    if len(gated):
        lower, upper, inverse = floats[gated, 3:6].T
        value = _dot(x[gated], _vectors(gate[gated], x, t)) * inverse
        on[gated] = (value >= lower) & (value <= upper)
    return on


def _scale(rows: np.ndarray, p: np.ndarray, flags: np.ndarray, t: SiteTables) -> np.ndarray | None:
    scaled = (flags & SCALE_FLAG) != 0
    if not scaled.any():
        return None
    return np.where(scaled, t.row_scale.numpy()[rows, p], np.float32(1))


def _move(
    x: np.ndarray,
    acting: slice | np.ndarray,
    kind: np.ndarray,
    vector: np.ndarray,
    floats: np.ndarray,
    scale: np.ndarray | None,
    t: SiteTables,
) -> np.ndarray:
    """Moves the acting rows of x by one operation each; returns their steps."""
    a, b, inverse = floats[:, :3].T
    v = _vectors(vector, x, t)
    step = a
    if (kind != ADD).any():
        along = _dot(x[acting], v) * inverse
        step = np.where(kind == ABLATE, -a * along, step)
        step = np.where(kind == SET, a - along, step)
        step = np.where(kind == CLAMP, np.clip(along, a, b) - along, step)
    if scale is not None:
        step = step * scale
    lengths = (step * inverse)[:, None]
    if x.size < _LARGE or not isinstance(acting, slice):
        x[acting] += lengths * v
    else:
        torch.from_numpy(x).add_(torch.from_numpy(lengths) * torch.from_numpy(v))
    return step


def _dot(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """<x, v> of each row."""
    if x.size < _LARGE:
        return (x * v).sum(1)
    products = torch.from_numpy(x) * torch.from_numpy(v)
    found: np.ndarray = products.sum(1).numpy()
    return found


def _vectors(which: np.ndarray, x: np.ndarray, t: SiteTables) -> np.ndarray:
    """Vectors of the bank in x's dtype, [len(which), H], or [1, H] where all are the same."""
    if (which == which[0]).all():
        which = which[:1]
    # Torch converts from float16 several times faster.
    dtype = torch.float64 if x.dtype == np.float64 else torch.float32
    found: np.ndarray = t.vectors[torch.from_numpy(which.astype(np.int64))].to(dtype).numpy()
    return found
