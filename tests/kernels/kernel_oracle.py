"""The site operation row by row in float64, written from the formulas in layout.py alone."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    GATE_STORED,
    READ_FLAG,
    SCALE_FLAG,
    SET,
    TEST,
    SiteTables,
)


class Expected(NamedTuple):
    """What a site must leave behind.

    x is the whole stream, in float64. rounded is the readout of a stream rounded to tf32. norm
    is the largest norm that a row had on its way, the yardstick of float32's error. margin is
    how close any gate came to its bounds, in norms.
    """

    x: Tensor
    start: Tensor
    readout: Tensor
    rounded: Tensor
    marks: Tensor
    steps: Tensor
    gates: Tensor
    norm: Tensor
    margin: float

    @property
    def acted(self) -> Tensor:
        return self.marks != 0


def expect(stream: Tensor, addend: Tensor | None, tables: SiteTables) -> Expected:
    t = SiteTables(*(table.cpu() for table in tables))
    steering, reading = t.site[:2].tolist()
    vectors = t.vectors.double().numpy()
    readers = t.readout_vectors.double().numpy() * t.readout_scale.double().numpy()[:, None]
    start = stream.double().cpu().numpy()
    if addend is not None:
        start = start + addend.double().cpu().numpy()
    rows, operations = len(start), t.steps.shape[1]
    x, norm = start.copy(), np.zeros(rows)
    readout = np.full((rows, len(readers)), np.nan)
    rounded = readout.copy()
    tf32 = nearest_tf32(torch.from_numpy(x).float()).double().numpy()
    marks, steps = np.zeros(rows, dtype=np.int32), np.full((rows, operations), np.nan)
    gates = t.row_gates.numpy().copy()
    margin = float("inf")
    for row, flags in enumerate(t.row_flags[:rows].tolist()):
        norm[row] = np.linalg.norm(x[row])
        if reading and flags & READ_FLAG:
            readout[row] = readers @ x[row]
            rounded[row] = readers @ tf32[row]
        slot = int(t.row_slot[row])
        if not steering or not flags & ((1 << operations) - 1):
            continue
        for i in range(int(t.program_count[slot])):
            kind, p, vector, gate = t.program_int[slot, i].tolist()
            a, b, inverse, lower, upper, gate_inverse = t.program_float[slot, i, :6].tolist()
            if not flags >> p & 1:
                continue
            holds = gate == GATE_NONE or (gate == GATE_STORED and gates[row] >> p & 1)
            if gate >= 0:
                value = vectors[gate] @ x[row] * gate_inverse
                margin = min(
                    margin, *(abs(value - e) / max(norm[row], 1e-30) for e in (lower, upper))
                )
                holds = lower <= value <= upper
            if kind == TEST:
                gates[row] = gates[row] | 1 << p if holds else gates[row] & ~(1 << p)
            elif holds:
                u = vectors[vector] * inverse
                step = _step(kind, a, b, u @ x[row])
                if flags & SCALE_FLAG:
                    step *= float(t.row_scale[row, p])
                x[row] += step * u
                size = abs(a) if np.isfinite(a) else 0
                norm[row] = max(norm[row], np.linalg.norm(x[row]), size)
                marks[row] |= 1 << p
                steps[row, p] = step
    arrays = (x, start, readout, rounded, marks, steps, gates, norm)
    return Expected(*map(torch.from_numpy, arrays), margin)


def nearest_tf32(x: Tensor) -> Tensor:
    """The nearest number of 11 significant bits, ties away from 0, as float32."""
    size = x.double().abs().cpu().numpy()
    _, exponent = np.frexp(size)
    spacing = np.ldexp(1.0, np.maximum(exponent, -125) - 11)
    with np.errstate(invalid="ignore"):
        rounded = np.where(np.isfinite(size), np.floor(size / spacing + 0.5) * spacing, size)
    return torch.from_numpy(rounded).float().copysign(x.cpu())


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


def rms_norm(x: Tensor, weight: Tensor, eps: float, plus_one: bool) -> Tensor:
    """In float64."""
    w = weight.double().cpu() + plus_one
    return x / torch.sqrt(x.square().mean(-1, keepdim=True) + eps) * w
