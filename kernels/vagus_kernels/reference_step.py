"""What goes on around a forward pass, in plain torch: see `step` and `gather_readouts`."""

import torch
from torch import Tensor

from vagus_kernels.gather_readouts import ReadTables
from vagus_kernels.layout import OPERATIONS_MASK, SCALE_FLAG
from vagus_kernels.step import ENTRY, HEADER, PROGRAM, RANGE, REQUEST, SCALE, StepTables


def begin_step(
    step: Tensor, requests: int, programs: int, positions: Tensor | None, tables: StepTables
) -> None:
    """Writes a step message to the tables.

    Args:
        step: int32, at least as long as the message (see `step`).
        requests, programs: as the message's header has them; the device must not be asked.
        positions: int64 [rows], of every row; None where a request's rows are consecutive
            from the position that the message states.
        tables: what is written.
    """
    t, n_sites, operations = tables, tables.site.shape[0], tables.row_scale.shape[1]
    _, n_ranges, n_scales, _, n_entries, rows, rows_before, _ = step[:HEADER].tolist()
    lengths = (
        n_sites,
        requests * REQUEST,
        n_ranges * RANGE,
        n_scales * SCALE,
        programs * PROGRAM,
        programs * n_sites,
        programs * operations,
        n_entries * ENTRY,
    )
    parts = step[HEADER : HEADER + sum(lengths)].split(lengths)
    bits = parts[0]
    t.site[:, 0], t.site[:, 1] = bits & 1, (bits >> 1) & 1
    t.row_flags[rows:rows_before].zero_()
    t.readout_shape.zero_()
    if programs:
        slots = parts[4].view(-1, PROGRAM)[:, 0].long()
        t.program_count[:, slots] = parts[5].view(programs, n_sites).T
        t.program_vector[slots] = parts[6].view(programs, operations)
        _write_entries(parts[4].view(-1, PROGRAM), parts[7].view(-1, ENTRY), t)
    ranges, scales = parts[2].view(-1, RANGE).tolist(), parts[3].view(-1, SCALE)
    for record in parts[1].view(-1, REQUEST).tolist():
        _begin_request(record, ranges, scales, positions, t)


def _write_entries(programs: Tensor, entries: Tensor, t: StepTables) -> None:
    first = 0
    for slot, last in programs.tolist():
        mine = entries[first:last]
        sites, index = mine[:, 0].long(), mine[:, 1].long()
        t.program_int[sites, slot, index] = mine[:, 2:6]
        t.program_float[sites, slot, index] = mine[:, 6:14].contiguous().view(torch.float32)
        first = last


def _begin_request(
    record: list[int],
    ranges: list[list[int]],
    scales: Tensor,
    positions: Tensor | None,
    t: StepTables,
) -> None:
    first, rows, slot, position, base, range_first, range_count, packed = record
    here = slice(first, first + rows)
    if positions is None and range_count == 0 and packed == 0:
        t.row_flags[here] = base
    else:
        q = torch.arange(position, position + rows) if positions is None else positions[here]
        flags = torch.full((rows,), base, dtype=torch.int32)
        for low, high, bits in ranges[range_first : range_first + range_count]:
            flags |= torch.where((q >= low) & (q < high), bits, 0).to(torch.int32)
        if packed & 255:
            flags |= SCALE_FLAG
            t.row_scale[here] = 1
        for entry in scales[packed >> 8 : (packed >> 8) + (packed & 255)]:
            p, origin = entry[:2].tolist()
            ramp, half_life = entry[2:].contiguous().view(torch.float32).tolist()
            since = (q - origin).clamp(min=0).float()
            factor = ((since + 1) / ramp).clamp(max=1) if ramp > 0 else torch.ones(rows)
            if half_life > 0:
                factor = factor * torch.exp2(-since / half_life)
            t.row_scale[here, p] = factor
        t.row_flags[here] = flags
    t.row_slot[here] = slot
    if slot:
        # Marks are evidence: what an earlier pass left must not count for this one.
        t.row_gates[here].zero_()
        t.marks[:, here].zero_()


def gather_readouts(rows: Tensor, out: Tensor, tables: ReadTables) -> None:
    """Writes the readouts of some rows, before and after steering.

    Args:
        rows: int [n], indices of rows that were read in the last pass.
        out: float32 [n, R, K, 2].
        tables: see `ReadTables`.
    """
    t, rows = tables, rows.long()
    if rows.numel() == 0:
        return
    steered = (t.row_flags[rows] & OPERATIONS_MASK) != 0
    bits = torch.arange(t.steps.shape[2], dtype=torch.int32)
    for r, site in enumerate(t.sites.tolist()):
        splits, count = t.readout_shape[r].tolist()
        if not splits:
            out[:, r] = float("nan")
            continue
        parts = t.readout[r, : splits * count].view(splits, count, -1)[:, rows]
        before = parts.sum(0)
        out[:, r, :, 0] = out[:, r, :, 1] = before
        marks = torch.where(steered, t.marks[site, rows], 0)
        on = marks.nonzero().squeeze(1)
        if on.numel():
            acted = ((marks[on].unsqueeze(1) >> bits) & 1).bool()
            step = torch.where(acted, t.steps[site, rows[on]], 0.0)
            vectors = t.program_vector[t.row_slot[rows[on]].long()].long()
            out[on, r, :, 1] += torch.einsum("np,npk->nk", step, t.products[r, vectors])
