"""A kernel that only rounds to tf32, and numbers to round."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels.project import round_to_tf32

#: Bit patterns at the edges: zeros, the smallest, ties, the largest, infinities.
EDGES = (
    *(0x00000000, 0x00000001, 0x00001000, 0x00000FFF, 0x007FFFFF, 0x3F800FFF, 0x3F801000),
    *(0x3F801001, 0x3F803000, 0x3FFFF000, 0x7F7FEFFF, 0x7F7FF000, 0x7F7FFFFF, 0x7F800000),
)
NANS = (0x7F801000, 0x7FC00000, 0x7FC00001, 0x7FFFFFFF)


@triton.jit
def _round_kernel(x_ptr, size: tl.constexpr):
    at = x_ptr + tl.program_id(0) * size + tl.arange(0, size)
    tl.store(at, round_to_tf32(tl.load(at)))


def round_(x: Tensor) -> None:
    """Rounds a multiple of 256 numbers in place."""
    _round_kernel[(x.numel() // 256,)](x, size=256)


def patterns(count: int) -> Tensor:
    """Random bits, numbers of order 1, and the edges with both signs; NaN left out."""
    draw = torch.Generator().manual_seed(0)
    top = 1 << 31
    any_bits = torch.randint(-top, top, (count,), generator=draw).to(torch.int32)
    numbers = torch.randn(count, generator=draw).view(torch.int32)
    edges = torch.tensor([b - sign for b in EDGES for sign in (0, top)]).to(torch.int32)
    x = torch.cat([edges, any_bits, numbers]).view(torch.float32)
    return x[~x.isnan()]
