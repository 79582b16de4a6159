"""vLLM's schedulers, which also carry readouts and marks to the frontend."""

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from vagus_server.plugin.transport import STEP
from vagus_server.plugin.wire import (
    Frame,
    Order,
    RequestRows,
    Step,
    frame_to_array,
    order_from_sampling_params,
)

if TYPE_CHECKING:
    _Base: TypeAlias = Scheduler
else:
    _Base = object


class _Gathered:
    """What one request's steps brought since its last output, and over its whole turn."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._frame = Frame(spans=[], marks=[], positions=[])
        self._readouts: list[np.ndarray] = []
        # By position, so that a token computed anew after preemption counts once.
        self._turn: np.ndarray | None = None
        self._turn_end = order.reply_start
        self._last_prompt: np.ndarray | None = None

    def add(self, rows: RequestRows) -> None:
        """Takes a step's rows."""
        self._frame.spans.append((rows.start, rows.tokens))
        self._frame.marks += rows.marks
        for i, position in enumerate(rows.positions):
            if any(a <= position < b for a, b in self._order.read):
                self._frame.positions.append(position)
                self._readouts.append(rows.readouts[i])
            if position >= self._turn_end:
                self._add_to_turn(position, rows.readouts[i])

    def _add_to_turn(self, position: int, readout: np.ndarray) -> None:
        if position == self._order.reply_start:
            self._last_prompt = readout
        self._turn = readout.copy() if self._turn is None else self._turn + readout
        self._turn_end = position + 1

    def take(self, last: bool) -> Frame:
        """The frame for an output, and starts the next."""
        frame, self._frame = self._frame, Frame(spans=[], marks=[], positions=[])
        if self._readouts:
            frame.readouts = np.stack(self._readouts).astype("<f4").tobytes()
            self._readouts = []
        last = last or self._order.turn_every_output
        if last and self._turn is not None:
            frame.turn_sum = self._turn.astype("<f4").tobytes()
            frame.turn_tokens = self._turn_end - self._order.reply_start
        if last and self._last_prompt is not None:
            frame.last_prompt_token = self._last_prompt.astype("<f4").tobytes()
        return frame


class _Carrying(_Base):
    """Gathers each step's rows and sends them with the request's next output."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._vagus: dict[str, _Gathered] = {}

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        """As vLLM's; prefill chunks produce no output, so rows wait for the next one."""
        step: Step | None = getattr(model_runner_output, STEP, None)
        if step is not None:
            for request_id, rows in step.rows.items():
                self._gather(request_id, rows)
        results = super().update_from_output(scheduler_output, model_runner_output)
        for outputs in results.values():
            for output in outputs.outputs:
                gathered = self._vagus.get(output.request_id)
                if gathered is not None:
                    frame = gathered.take(last=output.finish_reason is not None)
                    output.routed_experts = frame_to_array(frame)
        self._forget_finished()
        return results

    def _gather(self, request_id: str, rows: RequestRows) -> None:
        request = self.requests.get(request_id)
        if request is None or request.is_finished():
            return  # aborted while the step was in flight
        if request_id not in self._vagus:
            order = order_from_sampling_params(request.sampling_params)
            if order is None:
                return
            self._vagus[request_id] = _Gathered(order)
        self._vagus[request_id].add(rows)

    def _forget_finished(self) -> None:
        if len(self._vagus) == 0:
            return
        for request_id in [r for r in self._vagus if r not in self.requests]:
            del self._vagus[request_id]


class SteeringScheduler(_Carrying, Scheduler):
    """For engines that schedule one step at a time."""


class SteeringAsyncScheduler(_Carrying, AsyncScheduler):
    """For engines that schedule ahead of the running step.

    A plain Scheduler subclass would silently switch asynchronous scheduling off.
    """
