"""What goes on around a forward pass, on a CPU: see `step` and `gather_readouts`."""

import numpy as np
from torch import Tensor

from vagus_kernels.gather_readouts import ReadTables
from vagus_kernels.layout import OPERATIONS_MASK, SCALE_FLAG
from vagus_kernels.step import (
    ENTRY,
    HEADER,
    PROGRAM,
    RANGE,
    REQUEST,
    SCALE,
    StepTables,
    rows_of,
)


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
    t = {name: table.numpy() for name, table in tables._asdict().items()}
    n_sites, operations = len(t["site"]), t["row_scale"].shape[1]
    message = step.numpy()
    _, n_ranges, n_scales, _, n_entries, rows, rows_before, _ = message[:HEADER].tolist()
    lengths = (
        HEADER,
        n_sites,
        requests * REQUEST,
        n_ranges * RANGE,
        n_scales * SCALE,
        programs * PROGRAM,
        programs * n_sites,
        programs * operations,
        n_entries * ENTRY,
    )
    parts = np.split(message[: sum(lengths)], np.cumsum(lengths)[:-1])[1:]
    t["site"][:, 0], t["site"][:, 1] = parts[0] & 1, (parts[0] >> 1) & 1
    t["row_flags"][rows:rows_before] = 0
    t["readout_shape"][:] = 0
    if programs:
        slots = parts[4].reshape(-1, PROGRAM)[:, 0]
        t["program_count"][:, slots] = parts[5].reshape(programs, n_sites).T
        t["program_vector"][slots] = parts[6].reshape(programs, operations)
        _write_entries(parts[4].reshape(-1, PROGRAM), parts[7].reshape(-1, ENTRY), t)
    records = parts[1].reshape(-1, REQUEST)
    _begin_requests(records, t)
    ranges, scales = parts[2].reshape(-1, RANGE).tolist(), parts[3].reshape(-1, SCALE)
    for record in records[(records[:, 6] != 0) | (records[:, 7] & 255 != 0)].tolist():
        _begin_unsteady(record, ranges, scales, positions, t)


def clear(marked: Tensor, tables: StepTables) -> None:
    """Clears what the pass before has left, where the message is the one before `again`.

    Args:
        marked: int [n], the rows that are steered.
        tables: what the message before was written to.
    """
    tables.readout_shape.numpy()[:] = 0
    if marked.numel():
        steered = marked.numpy()
        tables.row_gates.numpy()[steered] = 0
        tables.marks.numpy()[:, steered] = 0


def _write_entries(programs: np.ndarray, entries: np.ndarray, t: dict[str, np.ndarray]) -> None:
    slots, ends = programs.T
    slot = np.repeat(slots, np.diff(ends, prepend=0))
    sites, index = entries[:, 0], entries[:, 1]
    t["program_int"][sites, slot, index] = entries[:, 2:6]
    t["program_float"][sites, slot, index] = entries[:, 6:14].copy().view(np.float32)


def _begin_requests(records: np.ndarray, t: dict[str, np.ndarray]) -> None:
    """What all of a request's rows have in common."""
    _, tokens, slot, _, base = records[:, :5].T
    here = rows_of(records)
    t["row_flags"][here], t["row_slot"][here] = np.repeat(base, tokens), np.repeat(slot, tokens)
    # Marks are evidence: what an earlier pass left must not count for this one.
    steered = here[np.repeat(slot > 0, tokens)]
    t["row_gates"][steered] = 0
    t["marks"][:, steered] = 0


def _begin_unsteady(
    record: list[int],
    ranges: list[list[int]],
    scales: np.ndarray,
    positions: Tensor | None,
    t: dict[str, np.ndarray],
) -> None:
    """The rows of a request that differ from one another."""
    first, rows, _, position, base, range_first, range_count, packed = record
    here = slice(first, first + rows)
    q = np.arange(position, position + rows) if positions is None else positions.numpy()[here]
    flags = np.full(rows, base, dtype=np.int32)
    for low, high, bits in ranges[range_first : range_first + range_count]:
        flags |= np.where((q >= low) & (q < high), np.int32(bits), np.int32(0))
    if packed & 255:
        flags |= SCALE_FLAG
        t["row_scale"][here] = 1
    for entry in scales[packed >> 8 : (packed >> 8) + (packed & 255)]:
        p, origin = entry[:2].tolist()
        ramp, half_life = entry[2:].copy().view(np.float32).tolist()
        since = np.maximum(q - origin, 0).astype(np.float32)
        factor = np.minimum((since + 1) / ramp, 1) if ramp > 0 else np.ones_like(since)
        if half_life > 0:
            factor = factor * np.exp2(-since / half_life)
        t["row_scale"][here, p] = factor
    t["row_flags"][here] = flags


def gather_readouts(rows: Tensor, out: Tensor, tables: ReadTables) -> None:
    """Writes the readouts of some rows, before and after steering.

    Args:
        rows: int [n], indices of rows that were read in the last pass.
        out: float32 [n, R, K, 2].
        tables: see `ReadTables`.
    """
    if rows.numel() == 0:
        return
    at, values = rows.numpy(), out.numpy()
    steered = (tables.row_flags.numpy()[at] & OPERATIONS_MASK) != 0
    acted = bool(steered.any())
    shapes, readout = tables.readout_shape.tolist(), tables.readout.numpy()
    for r, (splits, count) in enumerate(shapes):
        if not splits:
            values[:, r] = np.nan
            continue
        parts = readout[r, : splits * count].reshape(splits, count, -1)[:, at]
        values[:, r] = parts.sum(0)[..., None]
        if acted:
            values[:, r, :, 1] += _moved(at, steered, r, tables)


def _moved(at: np.ndarray, steered: np.ndarray, r: int, tables: ReadTables) -> np.ndarray:
    """What steering has added to the readouts of some rows at one site, float32 [n, K]."""
    t = {name: table.numpy() for name, table in tables._asdict().items()}
    site = int(t["sites"][r])
    moved = np.zeros((len(at), t["products"].shape[2]), dtype=np.float32)
    marks = np.where(steered, t["marks"][site, at], 0)
    on = np.flatnonzero(marks)
    if len(on):
        bits = np.arange(t["steps"].shape[2], dtype=np.int32)
        step = np.where((marks[on, None] >> bits) & 1, t["steps"][site, at[on]], np.float32(0))
        vectors = t["program_vector"][t["row_slot"][at[on]]]
        moved[on] = np.matmul(step[:, None], t["products"][r, vectors])[:, 0]
    return moved
