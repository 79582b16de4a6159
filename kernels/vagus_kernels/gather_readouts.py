"""Collects a pass's readouts, before and after steering, into one small table.

Before is the sum of the splits of `readout`; NaN where this pass wrote none. After is before
plus, for every operation that marked the row at that site, its step times the product of the two
directions, from a table of all such products.
"""

from typing import NamedTuple

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.program import OPERATIONS


class ReadTables(NamedTuple):
    """What readouts are gathered from; R sites are read. See `layout` for the rest."""

    sites: Tensor  # [R] int32: which sites those are
    readout: Tensor  # [R, parts, K]
    readout_shape: Tensor  # [R, 2]
    products: Tensor  # [R, V, K] float32: <v, w> / (|v| |w|)
    row_slot: Tensor  # [rows]
    row_flags: Tensor  # [rows]
    marks: Tensor  # [sites, rows]
    steps: Tensor  # [sites, rows, P]
    program_vector: Tensor  # [S, P]


# The rows stand in a step's message, behind sections of any length: aligned as it happens.
@triton.jit(
    do_not_specialize=["parts", "vectors", "table_rows"],
    do_not_specialize_on_alignment=["rows_ptr"],
)
def _gather_kernel(
    rows_ptr,
    out_ptr,
    sites_ptr,
    readout_ptr,
    shape_ptr,
    products_ptr,
    row_slot_ptr,
    row_flags_ptr,
    marks_ptr,
    steps_ptr,
    vector_ptr,
    parts,
    vectors,
    table_rows,
    R: tl.constexpr,
    K: tl.constexpr,
    P: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    n, r = tl.program_id(0).to(tl.int64), tl.program_id(1).to(tl.int64)
    row = tl.load(rows_ptr + n).to(tl.int64)
    k = tl.arange(0, BLOCK_K)
    inside = k < K
    splits, rows = tl.load(shape_ptr + r * 2), tl.load(shape_ptr + r * 2 + 1)
    # A pass whose operation did not run has no splits, and nothing may look like a readout.
    before = tl.zeros((BLOCK_K,), tl.float32) + tl.where(splits > 0, 0.0, float("nan"))
    part = r * parts + row
    for split in range(splits):  # noqa: B007
        before += tl.load(readout_ptr + part * K + k, mask=inside, other=0.0)
        part += rows
    after = before
    if (tl.load(row_flags_ptr + row) & OPERATIONS) != 0:
        at = tl.load(sites_ptr + r).to(tl.int64) * table_rows + row
        marks = tl.load(marks_ptr + at)
        slot = tl.load(row_slot_ptr + row).to(tl.int64)
        for p in range(P):
            if ((marks >> p) & 1) != 0:
                vector = tl.load(vector_ptr + slot * P + p).to(tl.int64)
                product = products_ptr + (r * vectors + vector) * K + k
                step = tl.load(steps_ptr + at * P + p)
                after += step * tl.load(product, mask=inside, other=0.0)
    out = out_ptr + ((n * R + r) * K + k) * 2
    tl.store(out, before, mask=inside)
    tl.store(out + 1, after, mask=inside)


def gather_readouts(rows: Tensor, out: Tensor, tables: ReadTables) -> None:
    """Launches the kernel; arguments as in `reference_step.gather_readouts`."""
    t = tables
    read, parts, concepts = t.readout.shape
    if rows.numel() == 0 or concepts == 0:
        return
    _gather_kernel[(rows.numel(), read)](
        rows,
        out,
        *t,
        parts,
        t.products.shape[1],
        t.marks.shape[1],
        R=read,
        K=concepts,
        P=t.steps.shape[2],
        BLOCK_K=triton.next_power_of_2(concepts),
        num_warps=4,
    )
