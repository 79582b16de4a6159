"""The device tables that every implementation of the site operation shares.

All tables stay at fixed addresses, so that a CUDA graph captured once replays with new
contents. Slot 0 and vector 0 mean "nothing"; rows past the batch have flags 0.

    name             shape                  dtype    meaning
    vectors          [V, H]                 float32  unit vectors of this site; row 0 is zero
    program_int      [S, P, 4]              int32    kind, vector, gate vector (or GATE_NONE), 0
    program_float    [S, P, 4]              float32  a, b, gate lower bound, gate upper bound
    row_slot         [rows]                 int32    slot of the row's program
    row_flags        [rows]                 int32    bit p: operation p is in scope; READ_FLAG
    site             [4]                    int32    index, any program here?, any reader?, 0
    readout_vectors  [K, H]                 float32  unit vectors read at this site (K may be 0)
    readout          [rows, K, 2]           float32  projections before and after steering
    applied          [rows, P, W]           int32    bit (site % 32) of word (site // 32): the
                                                     operation acted on the row at that site

x is the stream of a row, u the operation's unit vector. In float32, in order of p, where
bit p of row_flags is set and gate lower <= <x, g> <= gate upper:

    ADD     x += a u                            a: length
    ABLATE  x -= a <x, u> u                     a: share
    SET     x += (a - <x, u>) u                 a: value
    CLAMP   x += (clip(<x, u>, a, b) - <x, u>) u
"""

from typing import NamedTuple

from torch import Tensor

ADD = 1
ABLATE = 2
SET = 3
CLAMP = 4

GATE_NONE = -1

#: Row flag: write this row's projections at the readout sites.
READ_FLAG = 1 << 30
#: Row flags that put operations in scope; bits 0 to 28, so at most 29 operations.
OPERATIONS_MASK = (1 << 29) - 1


def applied_words(sites: int) -> int:
    """Number of 32-bit words that hold one bit per site."""
    return (sites + 31) // 32


class SiteTables(NamedTuple):
    """Arguments of the site operation after stream and addend, in its schema's order."""

    vectors: Tensor
    program_int: Tensor
    program_float: Tensor
    row_slot: Tensor
    row_flags: Tensor
    site: Tensor
    readout_vectors: Tensor
    readout: Tensor
    applied: Tensor
