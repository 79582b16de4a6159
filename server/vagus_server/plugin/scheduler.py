"""vLLM's schedulers, which also carry readouts and marks to the frontend."""

from typing import TYPE_CHECKING, Any, TypeAlias

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.scheduler import Scheduler

from vagus_server.plugin import blocks
from vagus_server.plugin.parent import follow_parent
from vagus_server.plugin.transport import STEP
from vagus_server.plugin.wire import Step, steps_to_array

if TYPE_CHECKING:
    _Base: TypeAlias = Scheduler
else:
    _Base = object


class _Carrying(_Base):
    """Sends each step with the next outputs: prefill chunks alone bring none.

    The whole step goes with the first output of a batch, whichever request that is of: one
    array for all of them costs this process a copy, where an array for each would cost it
    more than scheduling does. The frontend knows whose rows are whose.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        blocks.install()
        follow_parent()
        super().__init__(*args, **kwargs)
        self._vagus_steps: list[Step] = []

    def update_from_output(self, scheduler_output: Any, model_runner_output: Any) -> Any:
        """As vLLM's, with the steps since the last outputs attached."""
        step: Step | None = getattr(model_runner_output, STEP, None)
        if step is not None:
            self._vagus_steps.append(step)
        results = super().update_from_output(scheduler_output, model_runner_output)
        if self._vagus_steps:
            self._attach(results)
        return results

    def _attach(self, results: Any) -> None:
        # One frontend: engine settings with several are refused (see `pin`).
        for outputs in results.values():
            if outputs.outputs:
                outputs.outputs[0].routed_experts = steps_to_array(self._vagus_steps)
                self._vagus_steps = []
        if not self.requests:
            self._vagus_steps = []


class SteeringScheduler(_Carrying, Scheduler):
    """For engines that schedule one step at a time."""


class SteeringAsyncScheduler(_Carrying, AsyncScheduler):
    """For engines that schedule ahead of the running step.

    A plain Scheduler subclass would silently switch asynchronous scheduling off.
    """
