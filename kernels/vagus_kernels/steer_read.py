"""Triton implementation of the site operation: one program per row, the row in registers."""

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.layout import ABLATE, ADD, CLAMP, GATE_NONE, OPERATIONS_MASK, READ_FLAG, SET

_ADD = tl.constexpr(ADD)
_ABLATE = tl.constexpr(ABLATE)
_SET = tl.constexpr(SET)
_CLAMP = tl.constexpr(CLAMP)
_GATE_NONE = tl.constexpr(GATE_NONE)
_READ_FLAG = tl.constexpr(READ_FLAG)
_OPERATIONS_MASK = tl.constexpr(OPERATIONS_MASK)


@triton.jit
def _steer_read_kernel(
    stream_ptr,
    addend_ptr,
    vectors_ptr,
    program_int_ptr,
    program_float_ptr,
    row_slot_ptr,
    row_flags_ptr,
    site_ptr,
    readout_vectors_ptr,
    readout_ptr,
    applied_ptr,
    stream_stride,
    addend_stride,
    H: tl.constexpr,
    P: tl.constexpr,
    K: tl.constexpr,
    W: tl.constexpr,
    HAS_ADDEND: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """See `layout` for the formula. Offsets are 64-bit: rows x hidden may pass 2**31."""
    steering = tl.load(site_ptr + 1)
    reading = tl.load(site_ptr + 2)
    row = tl.program_id(0).to(tl.int64)
    flags = tl.load(row_flags_ptr + row)
    steer = (steering != 0) & ((flags & _OPERATIONS_MASK) != 0)
    read = (reading != 0) & ((flags & _READ_FLAG) != 0) & (K > 0)
    # An idle row costs three scalar loads and touches no part of the stream.
    if steer | read:
        column = tl.arange(0, BLOCK_H)
        inside = column < H
        part = tl.load(stream_ptr + row * stream_stride + column, mask=inside, other=0.0)
        part = part.to(tl.float32)
        x = part
        if HAS_ADDEND:
            other = tl.load(addend_ptr + row * addend_stride + column, mask=inside, other=0.0)
            x += other.to(tl.float32)
        out = readout_ptr + row * (K * 2)
        if read:
            for k in range(K):
                w = tl.load(readout_vectors_ptr + k * H + column, mask=inside, other=0.0)
                value = tl.sum(x * w, axis=0)
                tl.store(out + k * 2, value)
                tl.store(out + k * 2 + 1, value)
        if steer:
            start = x
            acted = False
            index = tl.load(site_ptr)
            bit = (tl.full((), 1, tl.int32) << (index % 32)).to(tl.int32)
            slot = tl.load(row_slot_ptr + row).to(tl.int64)
            for p in range(P):
                entry = (slot * P + p) * 4
                kind = tl.load(program_int_ptr + entry)
                if (kind != 0) & (((flags >> p) & 1) != 0):
                    gate = tl.load(program_int_ptr + entry + 2)
                    holds = gate == _GATE_NONE
                    if gate != _GATE_NONE:
                        g = tl.load(
                            vectors_ptr + gate.to(tl.int64) * H + column, mask=inside, other=0.0
                        )
                        reading_at_gate = tl.sum(x * g, axis=0)
                        lower = tl.load(program_float_ptr + entry + 2)
                        upper = tl.load(program_float_ptr + entry + 3)
                        holds = (reading_at_gate >= lower) & (reading_at_gate <= upper)
                    if holds:
                        vector = tl.load(program_int_ptr + entry + 1).to(tl.int64)
                        u = tl.load(vectors_ptr + vector * H + column, mask=inside, other=0.0)
                        a = tl.load(program_float_ptr + entry)
                        b = tl.load(program_float_ptr + entry + 1)
                        step = a
                        if kind != _ADD:
                            along = tl.sum(x * u, axis=0)
                            clamped = tl.minimum(tl.maximum(along, a), b)
                            step = tl.where(kind == _ABLATE, -a * along, a - along)
                            step = tl.where(kind == _CLAMP, clamped - along, step)
                        x += step * u
                        acted = True
                        mark = applied_ptr + (row * P + p) * W + index // 32
                        tl.store(mark, tl.load(mark) | bit)
            # Where nothing acted the row keeps its bits: x - start is NaN for inf, and -0 + 0 is 0.
            if acted:
                moved = (part + (x - start)).to(stream_ptr.dtype.element_ty)
                tl.store(stream_ptr + row * stream_stride + column, moved, mask=inside)
                if read:
                    for k in range(K):
                        w = tl.load(readout_vectors_ptr + k * H + column, mask=inside, other=0.0)
                        tl.store(out + k * 2 + 1, tl.sum(x * w, axis=0))


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
    """Launches the kernel on stream's device; arguments as in `reference.steer_read_`.

    stream and addend may have any row stride; their columns, and all tables, are contiguous.
    Allocates nothing and never synchronises, so it can be captured in a CUDA graph.
    """
    rows, hidden = stream.shape
    if rows == 0:
        return
    block = triton.next_power_of_2(hidden)
    _steer_read_kernel[(rows,)](
        stream,
        stream if addend is None else addend,
        vectors,
        program_int,
        program_float,
        row_slot,
        row_flags,
        site,
        readout_vectors,
        readout,
        applied,
        stream.stride(0),
        0 if addend is None else addend.stride(0),
        H=hidden,
        P=program_int.shape[1],
        K=readout_vectors.shape[0],
        W=applied.shape[2],
        HAS_ADDEND=addend is not None,
        BLOCK_H=block,
        num_warps=max(1, min(16, block // 512)),
    )
