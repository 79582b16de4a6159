"""Device functions that the kernels of both site operations share: a row's program."""

import triton
import triton.language as tl

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    GATE_STORED,
    OPERATIONS_MASK,
    READ_FLAG,
    SCALE_FLAG,
    TEST,
)

_ABLATE = tl.constexpr(ABLATE)
_ADD = tl.constexpr(ADD)
_CLAMP = tl.constexpr(CLAMP)
_TEST = tl.constexpr(TEST)
_GATE_NONE = tl.constexpr(GATE_NONE)
_GATE_STORED = tl.constexpr(GATE_STORED)
_SCALE_FLAG = tl.constexpr(SCALE_FLAG)
OPERATIONS = tl.constexpr(OPERATIONS_MASK)
READ = tl.constexpr(READ_FLAG)


@triton.jit
def run_program(
    x,
    row,
    flags,
    slot,
    column,
    inside,
    vectors_ptr,
    count_ptr,
    int_ptr,
    float_ptr,
    row_scale_ptr,
    row_gates_ptr,
    steps_ptr,
    H: tl.constexpr,
    P: tl.constexpr,
):
    """Runs one row's program on x, float32 [BLOCK_H]; returns x and the row's marks."""
    marks = tl.zeros((), tl.int32)
    gates = tl.load(row_gates_ptr + row)
    for i in range(tl.load(count_ptr + slot)):
        entry = slot * (2 * P) + i
        kind = tl.load(int_ptr + entry * 4)
        p = tl.load(int_ptr + entry * 4 + 1)
        vector = tl.load(int_ptr + entry * 4 + 2).to(tl.int64)
        gate = tl.load(int_ptr + entry * 4 + 3)
        bit = (tl.full((), 1, tl.int32) << p).to(tl.int32)
        if (flags & bit) != 0:
            holds = (gate == _GATE_NONE) | ((gate == _GATE_STORED) & ((gates & bit) != 0))
            if gate >= 0:
                at = vectors_ptr + gate.to(tl.int64) * H + column
                g = tl.load(at, mask=inside, other=0.0).to(tl.float32)
                value = tl.sum(x * g, axis=0) * tl.load(float_ptr + entry * 8 + 5)
                lower = tl.load(float_ptr + entry * 8 + 3)
                upper = tl.load(float_ptr + entry * 8 + 4)
                holds = (value >= lower) & (value <= upper)
            if kind == _TEST:
                gates = tl.where(holds, gates | bit, gates & ~bit)
                tl.store(row_gates_ptr + row, gates)
            else:
                if holds:
                    v = tl.load(vectors_ptr + vector * H + column, mask=inside, other=0.0)
                    v = v.to(tl.float32)
                    step = tl.load(float_ptr + entry * 8)
                    inverse = tl.load(float_ptr + entry * 8 + 2)
                    if kind != _ADD:
                        along = tl.sum(x * v, axis=0) * inverse
                        b = tl.load(float_ptr + entry * 8 + 1)
                        clamped = tl.minimum(tl.maximum(along, step), b)
                        moved = tl.where(kind == _CLAMP, clamped, step) - along
                        step = tl.where(kind == _ABLATE, -step * along, moved)
                    if (flags & _SCALE_FLAG) != 0:
                        step *= tl.load(row_scale_ptr + row * P + p)
                    x += (step * inverse) * v
                    tl.store(steps_ptr + row * P + p, step)
                    marks |= bit
    return x, marks


def row_warps(block_h: int) -> int:
    """Warps of a program that holds a row of block_h columns: 16 columns a thread."""
    return max(1, min(32, block_h // 512))
