"""Sums of the residual stream over ranges of rows, for extracting concepts.

    sums[g, :H] += sum of x over the rows [start_g, end_g)
    sums[g, H]  += sum of |x|

One program per group holds the sum in registers and takes its rows in order, so that the same
passes give the same bits.
"""

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.program import row_warps


@triton.jit
def _tap_kernel(
    stream_ptr,
    addend_ptr,
    ranges_ptr,
    sums_ptr,
    stream_stride,
    addend_stride,
    H: tl.constexpr,
    HAS_ADDEND: tl.constexpr,
    BLOCK_H: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64)
    start = tl.load(ranges_ptr + group * 2)
    end = tl.load(ranges_ptr + group * 2 + 1)
    if start < end:
        column = tl.arange(0, BLOCK_H)
        inside = column < H
        out = sums_ptr + group * (H + 1)
        total = tl.load(out + column, mask=inside, other=0.0)
        norms = tl.load(out + H)
        row = start.to(tl.int64)
        for _step in range(end - start):
            x = tl.load(stream_ptr + row * stream_stride + column, mask=inside, other=0.0)
            x = x.to(tl.float32)
            if HAS_ADDEND:
                other = tl.load(addend_ptr + row * addend_stride + column, mask=inside, other=0.0)
                x += other.to(tl.float32)
            total += x
            norms += tl.sqrt(tl.sum(x * x, axis=0))
            row += 1
        tl.store(out + column, total, mask=inside)
        tl.store(out + H, norms)


def tap_(stream: Tensor, addend: Tensor | None, ranges: Tensor, sums: Tensor) -> None:
    """Launches the kernel on stream's device; arguments as in `reference.tap_`."""
    width = stream.shape[1]
    block_h = triton.next_power_of_2(width)
    _tap_kernel[(ranges.shape[0],)](
        stream,
        stream if addend is None else addend,
        ranges,
        sums,
        stream.stride(0),
        0 if addend is None else addend.stride(0),
        H=width,
        HAS_ADDEND=addend is not None,
        BLOCK_H=block_h,
        num_warps=row_warps(block_h),
    )
