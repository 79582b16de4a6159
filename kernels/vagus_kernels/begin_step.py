"""Unpacks a step message (see `step`) into the tables, on the device."""

import triton
import triton.language as tl
from torch import Tensor

from vagus_kernels import step as message
from vagus_kernels.layout import SCALE_FLAG
from vagus_kernels.step import StepTables

_HEADER = tl.constexpr(message.HEADER)
_REQUEST = tl.constexpr(message.REQUEST)
_RANGE = tl.constexpr(message.RANGE)
_SCALE = tl.constexpr(message.SCALE)
_PROGRAM = tl.constexpr(message.PROGRAM)
_ENTRY = tl.constexpr(message.ENTRY)
_SCALE_FLAG = tl.constexpr(SCALE_FLAG)
_BLOCK = 128


@triton.jit
def _sections(step_ptr, sites, operations):
    """Where each section after the requests starts: ranges, scales, programs, counts, ..."""
    ranges = step_ptr + _HEADER + sites + tl.load(step_ptr) * _REQUEST
    scales = ranges + tl.load(step_ptr + 1) * _RANGE
    programs = scales + tl.load(step_ptr + 2) * _SCALE
    count = tl.load(step_ptr + 3)
    counts = programs + count * _PROGRAM
    vectors = counts + count * sites
    return ranges, scales, programs, counts, vectors, vectors + count * operations


@triton.jit(do_not_specialize=["sites", "operations", "table_rows", "read_sites"])
def _begin_rows_kernel(
    step_ptr,
    positions_ptr,
    site_ptr,
    row_slot_ptr,
    row_flags_ptr,
    row_scale_ptr,
    row_gates_ptr,
    marks_ptr,
    shape_ptr,
    sites,
    operations,
    table_rows,
    read_sites,
    HAS_POSITIONS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Program 0 writes the site flags and clears what the last pass left; then one a request."""
    lane = tl.arange(0, BLOCK)
    if tl.program_id(0) == 0:
        for start in range(0, sites, BLOCK):
            site = start + lane
            bits = tl.load(step_ptr + _HEADER + site, mask=site < sites, other=0)
            tl.store(site_ptr + site * 4, bits & 1, mask=site < sites)
            tl.store(site_ptr + site * 4 + 1, (bits >> 1) & 1, mask=site < sites)
        for start in range(0, read_sites * 2, BLOCK):
            at = start + lane
            tl.store(shape_ptr + at, tl.zeros_like(at), mask=at < read_sites * 2)
        for start in range(tl.load(step_ptr + 5), tl.load(step_ptr + 6), BLOCK):
            row = start + lane
            tl.store(row_flags_ptr + row, tl.zeros_like(row), mask=row < tl.load(step_ptr + 6))
        return
    ranges, scales, _, _, _, _ = _sections(step_ptr, sites, operations)
    request = step_ptr + _HEADER + sites + (tl.program_id(0) - 1) * _REQUEST
    first, rows = tl.load(request), tl.load(request + 1)
    slot, position = tl.load(request + 2), tl.load(request + 3)
    base = tl.load(request + 4)
    range_first, range_count = tl.load(request + 5), tl.load(request + 6)
    packed = tl.load(request + 7)
    for start in range(0, rows, BLOCK):
        inside = start + lane < rows
        row = (first + start + lane).to(tl.int64)
        if HAS_POSITIONS:
            q = tl.load(positions_ptr + row, mask=inside, other=0).to(tl.int32)
        else:
            q = position + start + lane
        flags = tl.zeros_like(q) + base
        for i in range(range_first, range_first + range_count):
            low, high = tl.load(ranges + i * _RANGE), tl.load(ranges + i * _RANGE + 1)
            bits = tl.load(ranges + i * _RANGE + 2)
            flags |= tl.where((q >= low) & (q < high), bits, 0)
        scale_count = packed & 255
        if scale_count > 0:
            flags |= _SCALE_FLAG
            for p in range(operations):
                tl.store(row_scale_ptr + row * operations + p, 1.0, mask=inside)
        for i in range(packed >> 8, (packed >> 8) + scale_count):
            entry = scales + i * _SCALE
            since = tl.maximum(q - tl.load(entry + 1), 0).to(tl.float32)
            ramp = tl.load(entry + 2).to(tl.float32, bitcast=True)
            half_life = tl.load(entry + 3).to(tl.float32, bitcast=True)
            factor = tl.where(ramp > 0, tl.minimum((since + 1) / tl.maximum(ramp, 1e-9), 1.0), 1.0)
            decay = tl.exp2(-since / tl.maximum(half_life, 1e-9))
            factor *= tl.where(half_life > 0, decay, 1.0)
            at = row_scale_ptr + row * operations + tl.load(entry)
            tl.store(at, factor, mask=inside)
        tl.store(row_slot_ptr + row, tl.zeros_like(q) + slot, mask=inside)
        tl.store(row_flags_ptr + row, flags, mask=inside)
        if slot != 0:
            # Marks are evidence: what an earlier pass left must not count for this one.
            tl.store(row_gates_ptr + row, tl.zeros_like(q), mask=inside)
            for site in range(sites):  # noqa: B007
                tl.store(marks_ptr + row, tl.zeros_like(q), mask=inside)
                row += table_rows


@triton.jit(do_not_specialize=["sites", "operations", "slots"])
def _write_programs_kernel(
    step_ptr,
    count_ptr,
    int_ptr,
    float_ptr,
    vector_ptr,
    sites,
    operations,
    slots,
    BLOCK: tl.constexpr,
):
    """One program writes one steering program to its slot, at every site."""
    lane = tl.arange(0, BLOCK)
    _, _, programs, counts, vectors, entries = _sections(step_ptr, sites, operations)
    n = tl.program_id(0)
    slot = tl.load(programs + n * _PROGRAM).to(tl.int64)
    last = tl.load(programs + n * _PROGRAM + 1)
    first = tl.load(programs + n * _PROGRAM - 1, mask=n > 0, other=0)
    for start in range(0, sites, BLOCK):
        site = (start + lane).to(tl.int64)
        count = tl.load(counts + n * sites + site, mask=site < sites, other=0)
        tl.store(count_ptr + site * slots + slot, count, mask=site < sites)
    for start in range(0, operations, BLOCK):
        p = start + lane
        vector = tl.load(vectors + n * operations + p, mask=p < operations, other=0)
        tl.store(vector_ptr + slot * operations + p, vector, mask=p < operations)
    for i in range(first, last):
        entry = entries + i * _ENTRY
        site, index = tl.load(entry).to(tl.int64), tl.load(entry + 1)
        at = (site * slots + slot) * (2 * operations) + index
        ints = tl.load(entry + 2 + lane, mask=lane < 4, other=0)
        tl.store(int_ptr + at * 4 + lane, ints, mask=lane < 4)
        floats = tl.load(entry + 6 + lane, mask=lane < 8, other=0).to(tl.float32, bitcast=True)
        tl.store(float_ptr + at * 8 + lane, floats, mask=lane < 8)


def begin_step(
    step: Tensor, requests: int, programs: int, positions: Tensor | None, tables: StepTables
) -> None:
    """Launches the kernels; arguments as in `reference_step.begin_step`.

    step lies on the device; requests and programs are what its header says.
    """
    t = tables
    sites, operations = t.site.shape[0], t.row_scale.shape[1]
    if programs:
        _write_programs_kernel[(programs,)](
            step,
            t.program_count,
            t.program_int,
            t.program_float,
            t.program_vector,
            sites,
            operations,
            t.program_count.shape[1],
            BLOCK=_BLOCK,
            num_warps=4,
        )
    _begin_rows_kernel[(1 + requests,)](
        step,
        step if positions is None else positions,
        t.site,
        t.row_slot,
        t.row_flags,
        t.row_scale,
        t.row_gates,
        t.marks,
        t.readout_shape,
        sites,
        operations,
        t.marks.shape[1],
        t.readout_shape.shape[0],
        HAS_POSITIONS=positions is not None,
        BLOCK=_BLOCK,
        num_warps=4,
    )
