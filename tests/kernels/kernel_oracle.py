"""The site operation row by row in float64, written from the formulas in layout.py alone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.layout import ABLATE, ADD, CLAMP, GATE_NONE, READ_FLAG, SET, SiteTables


class Expected(NamedTuple):
    """What a site must leave behind.

    stream is not rounded to its dtype. norm is the largest norm that a row had on its way,
    the yardstick of float32's error. margin is how close any gate came to its bounds.
    """

    stream: Tensor
    readout: Tensor
    applied: Tensor
    acted: Tensor
    norm: Tensor
    margin: float


def expect(stream: Tensor, addend: Tensor | None, tables: SiteTables) -> Expected:
    tables = SiteTables(*(table.cpu() for table in tables))
    index, steering, reading, _ = tables.site.tolist()
    vectors, concepts = tables.vectors.double().numpy(), tables.readout_vectors.double().numpy()
    stored = stream.double().cpu().numpy()
    moved = stored.copy()
    readout = tables.readout.double().numpy().copy()
    applied = tables.applied.numpy().copy()
    norm = np.zeros(len(stored))
    acted = np.zeros(len(stored), dtype=bool)
    margin = float("inf")
    for row, flags in enumerate(tables.row_flags[: len(stored)].tolist()):
        x = stored[row].copy()
        if addend is not None:
            x += addend[row].double().cpu().numpy()
        start = x.copy()
        norm[row] = np.linalg.norm(x)
        if reading and flags & READ_FLAG:
            readout[row, :, 0] = concepts @ x
        for p in range(applied.shape[1] if steering else 0):
            if not flags >> p & 1:
                continue
            slot = int(tables.row_slot[row])
            kind, vector, gate, _ = tables.program_int[slot, p].tolist()
            a, b, lower, upper = tables.program_float[slot, p].tolist()
            if kind == 0:
                continue
            if gate != GATE_NONE:
                value = vectors[gate] @ x
                margin = min(margin, abs(value - lower), abs(value - upper))
                if not lower <= value <= upper:
                    continue
            x += _step(kind, a, b, vectors[vector] @ x) * vectors[vector]
            norm[row] = max(norm[row], np.linalg.norm(x), abs(a) if np.isfinite(a) else 0)
            applied[row, p, index // 32] |= np.uint32(1 << index % 32).astype(np.int32)
            acted[row] = True
        moved[row] += x - start if acted[row] else 0
        if reading and flags & READ_FLAG:
            readout[row, :, 1] = concepts @ x
    return Expected(
        stream=torch.from_numpy(moved),
        readout=torch.from_numpy(readout),
        applied=torch.from_numpy(applied),
        acted=torch.from_numpy(acted),
        norm=torch.from_numpy(norm),
        margin=margin,
    )


def _step(kind: int, a: float, b: float, along: float) -> float:
    """How far an operation moves x along u, where <x, u> is `along`."""
    if kind == ADD:
        return a
    if kind == ABLATE:
        return -a * along
    if kind == SET:
        return a - along
    assert kind == CLAMP
    return min(max(along, a), b) - along
