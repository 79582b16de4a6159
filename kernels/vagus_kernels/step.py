"""The step message: all that a forward pass needs to know, in one buffer and one copy.

An int32 buffer (floats by their bits) with sections in this order; `pack` builds it.

    header     [8]                 requests, ranges, scales, programs, entries, rows, rows before, 0
    sites      [sites]             bit 0: a program acts at this site; bit 1: it is read
    requests   [requests, 8]       first row, rows, slot, position of the first row, flags,
                                   first range, ranges, first scale << 8 | scales
    ranges     [ranges, 3]         start, end (half-open positions), flags in between
    scales     [scales, 4]         operation p, origin, ramp (float bits), half-life (float bits)
    programs   [programs, 2]       slot, entries up to this program's end
    counts     [programs, sites]   entries of the program per site
    vectors    [programs, P]       vector of each operation
    entries    [entries, 14]       site, index there, 4 ints and 8 floats of the entry
    read       [n]                 rows whose readouts are gathered after the pass
    marked     [n]                 rows whose marks are
    measured   [n]                 indices into the flat table of steps: those are, too

A row at position q of a request has the request's flags, and those of every range that q is
in. Where a request has scales, its rows have SCALE, and for each operation named there the
scale ramp(g) decay(g), 1 for the others, with g = max(0, q - origin): ramp(g) =
min(1, (g + 1) / ramp), or 1 where ramp is 0; decay(g) = 2^(-g / half-life), or 1 where the
half-life is 0. The shapes of readouts are set to 0: what an earlier pass left must not look
like this pass's. Rows between this pass's and the one's before are cleared: captured graphs
replay on padded rows.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from torch import Tensor

HEADER = 8
REQUEST, RANGE, SCALE, PROGRAM, ENTRY = 8, 3, 4, 2, 14


def rows_of(requests: np.ndarray) -> np.ndarray:
    """All rows of some requests (first row, rows, ... each), int64, in order."""
    tokens = requests[:, 1].astype(np.int64)
    ends = np.cumsum(tokens)
    return np.arange(tokens.sum()) + np.repeat(requests[:, 0] - ends + tokens, tokens)


class StepTables(NamedTuple):
    """What a step message is written to; see `layout` for the shapes, here over all sites."""

    site: Tensor  # [sites, 4]
    row_slot: Tensor  # [rows]
    row_flags: Tensor  # [rows]
    row_scale: Tensor  # [rows, P]
    row_gates: Tensor  # [rows]
    marks: Tensor  # [sites, rows]
    program_count: Tensor  # [sites, S]
    program_int: Tensor  # [sites, S, E, 4]
    program_float: Tensor  # [sites, S, E, 8]
    program_vector: Tensor  # [S, P]
    readout_shape: Tensor  # [R, 2], of the R sites that are read


@dataclass
class Step:
    """The sections of a step message, each an int32 array of the shape given above."""

    sites: np.ndarray
    requests: np.ndarray
    ranges: np.ndarray
    scales: np.ndarray
    programs: np.ndarray
    counts: np.ndarray
    vectors: np.ndarray
    entries: np.ndarray
    read: np.ndarray
    marked: np.ndarray
    measured: np.ndarray
    rows: int
    rows_before: int
    #: Whether the tables hold all of it already: they were written for a pass with the same rows,
    #: which brought each of them to where it is, and no row's position matters.
    again: bool = False

    def further(self, requests: np.ndarray) -> "Step":
        """The message for the same rows at later positions, which do not matter."""
        nothing = np.zeros((0, PROGRAM), dtype=np.int32)
        return replace(
            self,
            requests=requests,
            programs=nothing,
            counts=nothing,
            vectors=nothing,
            entries=nothing,
            rows_before=self.rows,
            again=True,
        )

    @cached_property
    def sections(self) -> list[np.ndarray]:
        """All sections in order, the header first."""
        header = np.array(
            [
                len(self.requests),
                len(self.ranges),
                len(self.scales),
                len(self.programs),
                len(self.entries),
                self.rows,
                self.rows_before,
                0,
            ],
            dtype=np.int32,
        )
        return [
            header,
            self.sites,
            self.requests,
            self.ranges,
            self.scales,
            self.programs,
            self.counts,
            self.vectors,
            self.entries,
            self.read,
            self.marked,
            self.measured,
        ]

    @cached_property
    def words(self) -> int:
        """Length of the message in 32-bit words."""
        return sum(section.size for section in self.sections)

    def pack(self, out: np.ndarray) -> None:
        """Writes the message to an int32 buffer of at least `words`."""
        np.concatenate([s.reshape(-1) for s in self.sections], out=out[: self.words])

    def indices(self, buffer: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The sections read, marked and measured of a packed message, as views."""
        sizes = self.read.size, self.marked.size, self.measured.size
        read, marked, measured = buffer[self.words - sum(sizes) : self.words].split(sizes)
        return read, marked, measured
