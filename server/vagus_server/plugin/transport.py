"""Takes a step's readouts and marks off the device and attaches them to its output."""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vllm.v1.outputs import AsyncModelRunnerOutput

from vagus_kernels.layout import READ_FLAG
from vagus_server.plugin.batch import Rows
from vagus_server.plugin.tables import Tables
from vagus_server.plugin.wire import Mark, RequestRows, Step

#: Attribute of vLLM's ModelRunnerOutput that carries our Step to the scheduler.
STEP = "vagus_step"


def attach_step(output: Any, tables: Tables, layout: list[Rows], runner: Any) -> Any:
    """Returns output with the step attached, now or when its own copies are done.

    Readouts and marks are snapshot here, on the stream of the forward pass, because the next
    step overwrites them; with asynchronous outputs the copy to the host overlaps with it.
    """
    read_rows = np.concatenate(
        [rows.row + np.flatnonzero(rows.flags & READ_FLAG) for rows in layout]
    )
    steered = [r for r in layout if r.steered]
    mark_rows = np.concatenate(
        [np.arange(0), *(np.arange(r.row, r.row + r.tokens) for r in steered)]
    )
    readouts = _snapshot(tables.readout, 1, read_rows)
    marks = _snapshot(tables.applied, 0, mark_rows)
    if not isinstance(output, AsyncModelRunnerOutput):
        setattr(output, STEP, _split(layout, readouts.cpu().numpy(), marks.cpu().numpy()))
        return output
    return _AsyncStepOutput(output, layout, readouts, marks, runner)


def _snapshot(table: Tensor, dim: int, rows: np.ndarray) -> Tensor:
    index = torch.from_numpy(rows.astype(np.int64))
    if table.device.type != "cpu":
        index = index.pin_memory().to(table.device, non_blocking=True)
    return table.index_select(dim, index)


class _AsyncStepOutput(AsyncModelRunnerOutput):
    """An asynchronous output that brings its step along."""

    def __init__(
        self,
        inner: AsyncModelRunnerOutput,
        layout: list[Rows],
        readouts: Tensor,
        marks: Tensor,
        runner: Any,
    ) -> None:
        self._inner = inner
        self._layout = layout
        self._device_tensors = (readouts, marks)
        self._event: torch.cuda.Event | None = None
        if readouts.device.type == "cpu":
            self._host = (readouts, marks)
            return
        stream = runner.output_copy_stream
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._host = (
                readouts.to("cpu", non_blocking=True),
                marks.to("cpu", non_blocking=True),
            )
            self._event = torch.cuda.Event()
            self._event.record(stream)

    def get_output(self) -> Any:
        """Waits for vLLM's copies and ours."""
        output = self._inner.get_output()
        if self._event is not None:
            self._event.synchronize()
        readouts, marks = self._host
        setattr(output, STEP, _split(self._layout, readouts.numpy(), marks.numpy()))
        return output


def _split(layout: list[Rows], readouts: np.ndarray, marks: np.ndarray) -> Step:
    """Cuts a step's arrays into the requests' parts.

    readouts is float32 [readout sites, rows read, concepts, 2]; marks int32 [rows steered,
    operations, words].
    """
    step = Step()
    read_at = mark_at = 0
    by_row = np.ascontiguousarray(readouts.swapaxes(0, 1))
    for rows in layout:
        read = np.flatnonzero(rows.flags & READ_FLAG)
        own_marks: list[Mark] = []
        if rows.steered:
            own_marks = _run_lengths(rows.start, marks[mark_at : mark_at + rows.tokens])
            mark_at += rows.tokens
        step.rows[rows.request_id] = RequestRows(
            start=rows.start,
            tokens=rows.tokens,
            positions=(rows.start + read).tolist(),
            readouts=by_row[read_at : read_at + len(read)],
            marks=own_marks,
        )
        read_at += len(read)
    return step


def _run_lengths(start: int, marks: np.ndarray) -> list[Mark]:
    """Marks of consecutive rows, equal neighbours joined."""
    flat = marks.reshape(len(marks), -1)
    cuts = np.flatnonzero((flat[1:] != flat[:-1]).any(axis=1)) + 1
    edges = [0, *cuts.tolist(), len(flat)]
    return [Mark(start + a, b - a, flat[a].astype("<i4").tobytes()) for a, b in pairwise(edges)]
