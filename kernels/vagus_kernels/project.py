"""Readouts: a tiled matrix product of the stream with the concepts read at a site.

Tensor cores take float32 in tf32, which keeps 11 significant bits. The concepts' float16
values fit that exactly; the stream is rounded to the nearest, for the hardware would cut it off
and make every readout a little smaller. A readout is therefore off by at most
2^-11 sum |x_i w_i| / |w|, in practice a few 1e-6 of |x|. Sums are float32.
"""

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.layout import READOUT_SPLIT_ROWS, READOUT_SPLITS, SiteTables
from vagus_kernels.program import READ
from vagus_kernels.tuning import DEFAULT, Tuning, tuning


@triton.jit
def round_to_tf32(x):
    """x, float32, with the 13 lowest bits 0: the nearest, ties away from 0. NaN stays NaN."""
    bits = (x.to(tl.int32, bitcast=True) + 0x1000) & -0x2000
    # inf stays inf, and what is above the largest becomes it; a NaN's bits may run over.
    return tl.where(x == x, bits.to(tl.float32, bitcast=True), x)


@triton.jit
def project_tile(
    tile,
    rows,
    stream_ptr,
    addend_ptr,
    stream_stride,
    addend_stride,
    row_flags_ptr,
    vectors_ptr,
    scale_ptr,
    readout_ptr,
    shape_ptr,
    splits,
    steps,
    H: tl.constexpr,
    K: tl.constexpr,
    HAS_ADDEND: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STEP_H: tl.constexpr,
):
    """One tile: BLOCK_M rows, BLOCK_K concepts, one split of the columns.

    `tile` counts splits first, then concepts, then rows; a split is `steps` STEP_H wide.
    """
    split = tile % splits
    concept_tile = (tile // splits) % ((K + BLOCK_K - 1) // BLOCK_K)
    row_tile = tile // splits // ((K + BLOCK_K - 1) // BLOCK_K)
    if tile == 0:
        tl.store(shape_ptr, splits)
        tl.store(shape_ptr + 1, rows)
    row = (row_tile * BLOCK_M + tl.arange(0, BLOCK_M)).to(tl.int64)
    flags = tl.load(row_flags_ptr + row, mask=row < rows, other=0)
    wanted = (flags & READ) != 0
    if tl.sum(wanted.to(tl.int32), axis=0) > 0:
        concept = concept_tile * BLOCK_K + tl.arange(0, BLOCK_K)
        total = tl.zeros((BLOCK_M, BLOCK_K), tl.float32)
        for i in range(steps):
            # Written as a multiple of STEP_H, so that the compiler sees aligned pieces.
            column = (split * steps + i) * STEP_H + tl.arange(0, STEP_H)
            inside = column < H
            here = wanted[:, None] & inside[None, :]
            at = stream_ptr + row[:, None] * stream_stride + column[None, :]
            x = tl.load(at, mask=here, other=0.0).to(tl.float32)
            if HAS_ADDEND:
                at = addend_ptr + row[:, None] * addend_stride + column[None, :]
                x += tl.load(at, mask=here, other=0.0).to(tl.float32)
            at = vectors_ptr + concept[None, :].to(tl.int64) * H + column[:, None]
            w = tl.load(at, mask=(concept < K)[None, :] & inside[:, None], other=0.0)
            total = tl.dot(round_to_tf32(x), w.to(tl.float32), total, input_precision="tf32")
        total *= tl.load(scale_ptr + concept, mask=concept < K, other=0.0)[None, :]
        out = readout_ptr + (split.to(tl.int64) * rows + row[:, None]) * K + concept[None, :]
        tl.store(out, total, mask=wanted[:, None] & (concept < K)[None, :])


@triton.jit(do_not_specialize=["rows", "splits", "steps"])
def _project_kernel(
    stream_ptr,
    addend_ptr,
    row_flags_ptr,
    site_ptr,
    readout_vectors_ptr,
    readout_scale_ptr,
    readout_ptr,
    readout_shape_ptr,
    stream_stride,
    addend_stride,
    rows,
    splits,
    steps,
    H: tl.constexpr,
    K: tl.constexpr,
    HAS_ADDEND: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_K: tl.constexpr,
    STEP_H: tl.constexpr,
):
    if tl.load(site_ptr + 1) != 0:
        project_tile(
            tl.program_id(0),
            rows,
            stream_ptr,
            addend_ptr,
            stream_stride,
            addend_stride,
            row_flags_ptr,
            readout_vectors_ptr,
            readout_scale_ptr,
            readout_ptr,
            readout_shape_ptr,
            splits,
            steps,
            H,
            K,
            HAS_ADDEND,
            BLOCK_M,
            BLOCK_K,
            STEP_H,
        )


def tiling(
    rows: int, hidden: int, concepts: int, choice: Tuning = DEFAULT
) -> tuple[int, int, int, int]:
    """How a pass is cut: (tiles, rows per tile, splits of the columns, steps per split).

    Few rows make few tiles, so their columns are split until the device is full. All numbers
    depend on the pass's (padded) rows alone, so that a captured graph replays the same.
    """
    if concepts == 0:
        return 0, 16, 1, 1
    block = 16 if rows <= 16 else 32 if rows <= choice.few_rows else choice.tile_rows
    tiles = triton.cdiv(rows, block) * triton.cdiv(concepts, choice.tile_concepts)
    columns = triton.cdiv(hidden, choice.step_columns)
    most = min(READOUT_SPLITS, max(1, READOUT_SPLIT_ROWS // rows), columns)
    splits = max(1, min(most, triton.cdiv(choice.enough, tiles)))
    steps = triton.cdiv(columns, splits)
    splits = triton.cdiv(columns, steps)
    return tiles * splits, block, splits, steps


def project(stream: Tensor, addend: Tensor | None, tables: SiteTables) -> None:
    """Launches the product by itself, on stream's device.

    Args:
        stream: [N, H], N above 0.
        addend: [N, H] or None; the residual stream is stream + addend.
        tables: see `layout`; at least one concept is read.
    """
    t = tables
    rows, hidden = stream.shape
    concepts = t.readout_vectors.shape[0]
    choice = tuning(stream.device, hidden, concepts)
    tiles, block_m, splits, steps = tiling(rows, hidden, concepts, choice)
    _project_kernel[(tiles,)](
        stream,
        stream if addend is None else addend,
        t.row_flags,
        t.site,
        t.readout_vectors,
        t.readout_scale,
        t.readout,
        t.readout_shape,
        stream.stride(0),
        0 if addend is None else addend.stride(0),
        rows,
        splits,
        steps,
        H=hidden,
        K=concepts,
        HAS_ADDEND=addend is not None,
        BLOCK_M=block_m,
        BLOCK_K=choice.tile_concepts,
        STEP_H=choice.step_columns,
        num_warps=choice.tile_warps if block_m > 32 else 4,
    )
