"""Random step messages and passes, and what must come of them, element by element."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vagus_kernels.gather_readouts import ReadTables
from vagus_kernels.layout import OPERATIONS_MASK, READ_FLAG, SCALE_FLAG, entries, readout_parts
from vagus_kernels.step import Step, StepTables, rows_of

SITES, SLOTS, P, ROWS = 5, 7, 3, 300
NO_END = 2**31 - 1


def tables() -> StepTables:
    """Full of nonsense, so that what is not written shows."""
    draw = torch.Generator().manual_seed(1)

    def junk(*shape: int) -> Tensor:
        return torch.randint(1 << 20, shape, generator=draw, dtype=torch.int32)

    return StepTables(
        site=junk(SITES, 4),
        row_slot=junk(ROWS),
        row_flags=junk(ROWS),
        row_scale=torch.randn(ROWS, P, generator=draw),
        row_gates=junk(ROWS),
        marks=junk(SITES, ROWS),
        program_count=junk(SITES, SLOTS),
        program_int=junk(SITES, SLOTS, entries(P), 4),
        program_float=torch.randn(SITES, SLOTS, entries(P), 8, generator=draw),
        program_vector=junk(SLOTS, P),
        readout_shape=junk(2, 2),
    )


def step(seed: int) -> Step:
    """A message with requests of all lengths, ranges, envelopes and programs."""
    rng = np.random.default_rng(seed)
    lengths = rng.choice([1, 1, 1, 2, 70, 131], size=rng.integers(0, 6))
    lengths = lengths[np.cumsum(lengths) <= ROWS]
    first = np.cumsum(lengths) - lengths
    requests = np.zeros((len(lengths), 8), dtype=np.int32)
    requests[:, 0], requests[:, 1] = first, lengths
    requests[:, 2] = rng.integers(0, SLOTS, len(lengths))
    requests[:, 3] = rng.integers(0, 200, len(lengths))
    requests[:, 4] = rng.integers(0, 1 << P, len(lengths)) | READ_FLAG * rng.integers(0, 2)
    ranges: list[tuple[int, int, int]] = []
    scales: list[list[int]] = []
    for request in requests:
        count = int(rng.integers(0, 3))
        request[5], request[6] = len(ranges), count
        for _ in range(count):
            start = int(rng.integers(0, 300))
            end = NO_END if rng.random() < 0.3 else start + int(rng.integers(0, 90))
            ranges.append((start, end, int(rng.integers(0, 1 << P))))
        count = int(rng.integers(0, 2))
        request[7] = len(scales) << 8 | count
        for _ in range(count):
            ramp, half_life = rng.choice([0, 1, 4.5]), rng.choice([0, 0.5, 30])
            floats = np.array([ramp, half_life], dtype=np.float32).view(np.int32)
            scales.append([int(rng.integers(0, P)), int(rng.integers(0, 250)), *floats.tolist()])
    slots = rng.permutation(np.arange(1, SLOTS))[: rng.integers(0, 3)].astype(np.int32)
    programs, counts, written = [], np.zeros((len(slots), SITES), dtype=np.int32), []
    for n, slot in enumerate(slots):
        for site in range(SITES):
            counts[n, site] = rng.integers(0, entries(P) + 1)
            for index in range(counts[n, site]):
                ints = rng.integers(-2, 9, 4).astype(np.int32)
                floats = rng.standard_normal(8).astype(np.float32).view(np.int32)
                written.append(np.concatenate([[site, index], ints, floats]))
        programs.append((slot, len(written)))
    rows = int(lengths.sum())
    return Step(
        sites=rng.integers(0, 4, SITES).astype(np.int32),
        requests=requests,
        ranges=np.array(ranges, dtype=np.int32).reshape(-1, 3),
        scales=np.array(scales, dtype=np.int32).reshape(-1, 4),
        programs=np.array(programs, dtype=np.int32).reshape(-1, 2),
        counts=counts,
        vectors=rng.integers(0, 99, (len(slots), P)).astype(np.int32),
        entries=np.array(written, dtype=np.int32).reshape(-1, 14),
        read=np.arange(0, rows, 2, dtype=np.int32),
        marked=np.arange(0, rows, 3, dtype=np.int32),
        measured=np.arange(0, rows, 5, dtype=np.int32),
        rows=rows,
        rows_before=int(rng.integers(0, ROWS + 1)),
    )


def steady(seed: int) -> Step:
    """A message in which no row's position matters, and the rows that are steered are marked."""
    message = step(seed)
    requests = message.requests.copy()
    requests[:, 5:] = 0
    none = np.zeros(0, dtype=np.int32)
    marked = rows_of(requests[requests[:, 2] > 0]).astype(np.int32)
    return replace(message, requests=requests, ranges=none, scales=none, marked=marked)


def expect(message: Step, positions: Tensor | None, before: StepTables) -> StepTables:
    """The tables after a message, by the words of step.py."""
    t = StepTables(*(table.clone() for table in before))
    for site, bits in enumerate(message.sites.tolist()):
        t.site[site, 0], t.site[site, 1] = bits & 1, bits >> 1 & 1
    t.readout_shape.zero_()
    for row in range(message.rows, message.rows_before):
        t.row_flags[row] = 0
    for (
        first,
        rows,
        slot,
        position,
        base,
        range_first,
        range_count,
        packed,
    ) in message.requests.tolist():
        for i in range(rows):
            row = first + i
            q = position + i if positions is None else int(positions[row])
            flags = base
            for start, end, bits in message.ranges[
                range_first : range_first + range_count
            ].tolist():
                flags |= bits if start <= q < end else 0
            if packed & 255:
                t.row_scale[row] = 1
            for scale in message.scales[packed >> 8 : (packed >> 8) + (packed & 255)]:
                ramp, half_life = scale[2:].view(np.float32).tolist()
                g = max(0, q - int(scale[1]))
                factor = min(1.0, (g + 1) / ramp) if ramp else 1.0
                factor *= 2 ** (-g / half_life) if half_life else 1.0
                t.row_scale[row, int(scale[0])] = factor
                flags |= SCALE_FLAG
            t.row_slot[row], t.row_flags[row] = slot, flags
            if slot:
                t.row_gates[row] = 0
                t.marks[:, row] = 0
    done = 0
    for n, (slot, end) in enumerate(message.programs.tolist()):
        t.program_count[:, slot] = torch.from_numpy(message.counts[n])
        t.program_vector[slot] = torch.from_numpy(message.vectors[n])
        for entry in message.entries[done:end]:
            site, index = entry[:2].tolist()
            t.program_int[site, slot, index] = torch.from_numpy(entry[2:6].copy())
            floats = torch.from_numpy(entry[6:].copy().view(np.float32))
            t.program_float[site, slot, index] = floats
        done = end
    return t


def read_tables(splits: int, rows: int, concepts: int, seed: int) -> ReadTables:
    """What a pass of so many rows, whose columns were split, left behind. Two sites are read."""
    draw = torch.Generator().manual_seed(seed)
    vectors, sites = 6, torch.tensor([1, 4], dtype=torch.int32)

    def pick(top: int, *shape: int) -> Tensor:
        return torch.randint(top, shape, generator=draw, dtype=torch.int32)

    readout = torch.full((2, readout_parts(ROWS), concepts), math.nan)
    readout[:, : splits * rows] = torch.randn(2, splits * rows, concepts, generator=draw)
    steps = torch.full((SITES, ROWS, P), math.nan)
    marks = pick(1 << P, SITES, ROWS)
    acted = ((marks.unsqueeze(-1) >> torch.arange(P)) & 1).bool()
    steps[acted] = torch.randn(int(acted.sum()), generator=draw)
    return ReadTables(
        sites=sites,
        readout=readout,
        readout_shape=torch.tensor([[splits, rows]] * 2, dtype=torch.int32),
        products=torch.randn(2, vectors, concepts, generator=draw),
        row_slot=pick(SLOTS, ROWS),
        row_flags=pick(1 << P, ROWS) * pick(2, ROWS) | READ_FLAG,
        marks=marks,
        steps=steps,
        program_vector=pick(vectors, SLOTS, P),
    )


def expect_readouts(rows: Tensor, t: ReadTables) -> Tensor:
    """[n, R, K, 2] in float64."""
    out = torch.zeros(len(rows), len(t.sites), t.readout.shape[2], 2, dtype=torch.float64)
    for n, row in enumerate(rows.tolist()):
        for r, site in enumerate(t.sites.tolist()):
            splits, count = t.readout_shape[r].tolist()
            before = sum(t.readout[r, s * count + row].double() for s in range(splits))
            after = before
            if int(t.row_flags[row]) & OPERATIONS_MASK:
                for p in range(P):
                    if int(t.marks[site, row]) >> p & 1:
                        vector = int(t.program_vector[int(t.row_slot[row]), p])
                        moved = t.steps[site, row, p].double() * t.products[r, vector].double()
                        after = after + moved
            out[n, r, :, 0], out[n, r, :, 1] = before, after
    return out
