"""Steering, readouts, residual add and RMSNorm in one launch.

    x = hidden + residual; x = program(x); normed = x / sqrt(mean(x^2) + eps) * weight

One program per row holds the row in registers: what the engine's own fused norm reads and
writes, and for steered rows their vectors. At a site where concepts are read, further programs
of the same launch compute the projections of tiles of rows (`project`). They read the inputs,
which nothing overwrites, so they need not wait for the rows. (With many rows they get a launch
of their own, which then costs little.)
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.layout import SiteTables
from vagus_kernels.program import OPERATIONS, row_warps, run_program
from vagus_kernels.project import project, project_tile, tiling
from vagus_kernels.tuning import tuning


@triton.jit(do_not_specialize=["rows", "tiles", "splits", "steps"])
def _steer_add_rms_norm_kernel(
    hidden_ptr,
    residual_ptr,
    weight_ptr,
    normed_ptr,
    out_ptr,
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
    readout_vectors_ptr,
    readout_scale_ptr,
    readout_ptr,
    readout_shape_ptr,
    hidden_stride,
    residual_stride,
    eps,
    rows,
    tiles,
    splits,
    steps,
    H: tl.constexpr,
    P: tl.constexpr,
    K: tl.constexpr,
    PLUS_ONE: tl.constexpr,
    BLOCK_H: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STEP_H: tl.constexpr,
):
    """See `layout` for the formula. Offsets are 64-bit: rows x hidden may pass 2**31."""
    program = tl.program_id(0)
    if K > 0:
        if program < tiles:
            if tl.load(site_ptr + 1) != 0:
                project_tile(
                    program,
                    rows,
                    hidden_ptr,
                    residual_ptr,
                    hidden_stride,
                    residual_stride,
                    row_flags_ptr,
                    readout_vectors_ptr,
                    readout_scale_ptr,
                    readout_ptr,
                    readout_shape_ptr,
                    splits,
                    steps,
                    H,
                    K,
                    True,
                    BLOCK_M,
                    BLOCK_K,
                    STEP_H,
                )
            return
    row = (program - tiles).to(tl.int64)
    column = tl.arange(0, BLOCK_H)
    inside = column < H
    x = tl.load(hidden_ptr + row * hidden_stride + column, mask=inside, other=0.0).to(tl.float32)
    part = tl.load(residual_ptr + row * residual_stride + column, mask=inside, other=0.0)
    x += part.to(tl.float32)
    if tl.load(site_ptr) != 0:
        flags = tl.load(row_flags_ptr + row)
        if (flags & OPERATIONS) != 0:
            slot = tl.load(row_slot_ptr + row).to(tl.int64)
            x, marks = run_program(
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
                H,
                P,
            )
            tl.store(marks_ptr + row, marks)
    tl.store(out_ptr + row * H + column, x.to(out_ptr.dtype.element_ty), mask=inside)
    y = x * tl.rsqrt(tl.sum(x * x, axis=0) / H + eps)
    weight = tl.load(weight_ptr + column, mask=inside, other=0.0)
    if PLUS_ONE:
        y *= weight.to(tl.float32) + 1.0
    else:
        # As a product in weight's dtype, which float32 holds exactly before it is rounded.
        y = y.to(weight.dtype).to(tl.float32) * weight.to(tl.float32)
    tl.store(normed_ptr + row * H + column, y.to(normed_ptr.dtype.element_ty), mask=inside)


def steer_add_rms_norm(
    hidden: Tensor, residual: Tensor, weight: Tensor, eps: float, plus_one: bool, *tables: Tensor
) -> tuple[Tensor, Tensor]:
    """Launches the kernel on hidden's device; arguments as in `reference.steer_add_rms_norm`.

    hidden and residual may have any row stride; their columns, and all tables, are contiguous.
    Never synchronises, so it can be captured in a CUDA graph.
    """
    t = SiteTables(*tables)
    rows, width = hidden.shape
    normed = torch.empty((rows, width), dtype=hidden.dtype, device=hidden.device)
    out = torch.empty_like(normed)
    if rows == 0:
        return normed, out
    concepts = t.readout_vectors.shape[0]
    choice = tuning(hidden.device, width, concepts)
    if concepts and rows > choice.few_rows:
        # Large tiles take registers that programs for single rows would rather share.
        project(hidden, residual, t)
        concepts = 0
    tiles, block_m, splits, steps = tiling(rows, width, concepts, choice)
    block_h = triton.next_power_of_2(width)
    _steer_add_rms_norm_kernel[(tiles + rows,)](
        hidden,
        residual,
        weight,
        normed,
        out,
        *t,
        hidden.stride(0),
        residual.stride(0),
        eps,
        rows,
        tiles,
        splits,
        steps,
        H=width,
        P=t.steps.shape[1],
        K=concepts,
        PLUS_ONE=plus_one,
        BLOCK_H=block_h,
        BLOCK_M=block_m,
        BLOCK_K=choice.tile_concepts,
        STEP_H=choice.step_columns,
        num_warps=max(choice.row_warps or row_warps(block_h), 4 if concepts else 1),
        # Half of a multiprocessor's threads; the compiler would take a few registers more.
        maxnreg=None if concepts else 64,
    )
    return normed, out
