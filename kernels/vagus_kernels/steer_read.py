"""Steering and readouts without a norm, in place: where the norm must stay the engine's own.

Two launches at a site that reads (the projections must have seen a row before it is steered),
one elsewhere. An idle row costs three scalar loads and touches no part of the stream.
"""

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.layout import SiteTables
from vagus_kernels.program import OPERATIONS, row_warps, run_program
from vagus_kernels.project import project


@triton.jit
def _steer_kernel(
    stream_ptr,
    addend_ptr,
    vectors_ptr,
    count_ptr,
    int_ptr,
    float_ptr,
    row_slot_ptr,
    row_flags_ptr,
    row_scale_ptr,
    row_gates_ptr,
    site_ptr,
    marks_ptr,
    steps_ptr,
    stream_stride,
    addend_stride,
    H: tl.constexpr,
    P: tl.constexpr,
    HAS_ADDEND: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    """See `layout` for the formula. Offsets are 64-bit: rows x hidden may pass 2**31."""
    row = tl.program_id(0).to(tl.int64)
    flags = tl.load(row_flags_ptr + row)
    if (tl.load(site_ptr) != 0) & ((flags & OPERATIONS) != 0):
        column = tl.arange(0, BLOCK_H)
        inside = column < H
        part = tl.load(stream_ptr + row * stream_stride + column, mask=inside, other=0.0)
        part = part.to(tl.float32)
        start = part
        if HAS_ADDEND:
            other = tl.load(addend_ptr + row * addend_stride + column, mask=inside, other=0.0)
            start += other.to(tl.float32)
        slot = tl.load(row_slot_ptr + row).to(tl.int64)
        x, marks = run_program(
            start,
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
            H,
            P,
        )
        # Where nothing acted the row keeps its bits: x - start is NaN for inf, and -0 + 0 is 0.
        if marks != 0:
            tl.store(marks_ptr + row, marks)
            moved = (part + (x - start)).to(stream_ptr.dtype.element_ty)
            tl.store(stream_ptr + row * stream_stride + column, moved, mask=inside)


def steer_read_(stream: Tensor, addend: Tensor | None, *tables: Tensor) -> None:
    """Launches the kernels on stream's device; arguments as in `reference.steer_read_`.

    stream and addend may have any row stride; their columns, and all tables, are contiguous.
    Allocates nothing and never synchronises, so it can be captured in a CUDA graph.
    """
    t = SiteTables(*tables)
    rows, width = stream.shape
    if rows == 0:
        return
    other = stream if addend is None else addend
    strides = stream.stride(0), 0 if addend is None else addend.stride(0)
    if t.readout_vectors.shape[0]:
        project(stream, addend, t)
    block_h = triton.next_power_of_2(width)
    _steer_kernel[(rows,)](
        stream,
        other,
        *t[: SiteTables._fields.index("readout_vectors")],
        *strides,
        H=width,
        P=t.steps.shape[1],
        HAS_ADDEND=addend is not None,
        BLOCK_H=block_h,
        num_warps=row_warps(block_h),
    )
