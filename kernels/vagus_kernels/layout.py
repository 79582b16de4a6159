"""The device tables that every implementation of the site operations shares.

All tables stay at fixed addresses, so that a CUDA graph captured once replays with new
contents. Slot 0 and vector 0 mean "nothing"; rows past the batch have flags 0.

S slots, V vectors, H hidden, P operations in a program, E = 2 P entries at a site, K concepts
read, rows: most rows in a forward pass.

    name             shape           dtype
    vectors          [V, H]          float16  this site's vectors v, as the pack stores them
    program_count    [S]             int32    entries of the slot's program at this site
    program_int      [S, E, 4]       int32    kind, operation p, vector, gate
    program_float    [S, E, 8]       float32  a, b, 1/|v|, gate lower, gate upper, 1/|g|, 0, 0
    row_slot         [rows]          int32    slot of the row's program
    row_flags        [rows]          int32    bit p: operation p is in scope; READ; SCALE
    row_scale        [rows, P]       float32  factor on operation p's step, where SCALE is set
    row_gates        [rows]          int32    bit p: the gate that TEST found at an earlier site
    site             [4]             int32    any program here?, anything read here?, number
                                              (`cpu_sites`), 0
    marks            [rows]          int32    bit p: operation p acted on the row at this site
    steps            [rows, P]       float32  how far it moved the row along v / |v|, where it did
    readout_vectors  [K, H]          float16  vectors w read at this site; K is 0 at most sites
    readout_scale    [K]             float32  1 / |w|
    readout          [parts, K]      float32  <x, w> / |w| before steering, see below
    readout_shape    [2]             int32    splits, rows of the pass that wrote `readout`

x is the stream of a row, u = v / |v|, s the row's scale (1 unless SCALE). In float32, in the
order of the entries, where bit p of row_flags is set and the entry's gate holds:

    ADD     x += s a u                                    a: length
    ABLATE  x -= s a <x, u> u                             a: share
    SET     x += s (a - <x, u>) u                         a: value
    CLAMP   x += s (clip(<x, u>, a, b) - <x, u>) u
    TEST    row_gates bit p = gate lower <= <x, g> / |g| <= gate upper     (moves nothing)

An entry's gate is the index of a vector g (holds where gate lower <= <x, g> / |g| <= gate
upper), GATE_NONE (holds), or GATE_STORED (holds where bit p of row_gates is set).

`readout` is a matrix product over the columns of the stream, which the kernels split so that
small batches fill the device: row r of split s is at parts[s * rows + r], and a readout is the
sum over the splits. Projections after steering are not measured again: an operation moves x by
step * u, so each is the one before plus step * <u, w / |w|> (`gather_readouts`).
"""

from typing import NamedTuple

from torch import Tensor

ADD = 1
ABLATE = 2
SET = 3
CLAMP = 4
TEST = 5

GATE_NONE = -1
GATE_STORED = -2

#: Row flag: this row's readouts are wanted.
READ_FLAG = 1 << 30
#: Row flag: the row's steps are scaled.
SCALE_FLAG = 1 << 29
#: Row flags that put operations in scope; bits 0 to 27, so at most 28 operations.
OPERATIONS_MASK = (1 << 28) - 1

#: Rows of a `readout` table for `rows` rows: small batches are split in up to 32 parts, which
#: together never have more than this many rows.
READOUT_SPLITS = 32
READOUT_SPLIT_ROWS = 4096


def entries(operations: int) -> int:
    """Entries of a program at a site: each operation may act and be tested for later sites."""
    return 2 * operations


def readout_parts(rows: int) -> int:
    """Number of rows of a `readout` table."""
    return max(rows, READOUT_SPLIT_ROWS)


class SiteTables(NamedTuple):
    """The tables of one site, in the order of the operators' schemas."""

    vectors: Tensor
    program_count: Tensor
    program_int: Tensor
    program_float: Tensor
    row_slot: Tensor
    row_flags: Tensor
    row_scale: Tensor
    row_gates: Tensor
    site: Tensor
    marks: Tensor
    steps: Tensor
    readout_vectors: Tensor
    readout_scale: Tensor
    readout: Tensor
    readout_shape: Tensor
