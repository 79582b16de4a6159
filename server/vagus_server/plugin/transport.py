"""Takes a pass's readouts and marks off the device and attaches them to its output."""

from typing import Any

import torch
from torch import Tensor
from vllm.v1.outputs import AsyncModelRunnerOutput

from vagus_server.plugin.passes import Layout
from vagus_server.plugin.stages import Collected
from vagus_server.plugin.wire import Step

#: Attribute of vLLM's ModelRunnerOutput that carries our Step to the scheduler.
STEP = "vagus_step"
#: Attribute of vLLM's SchedulerOutput that carries changes of requests to the workers.
CHANGES = "vagus_changes"


def attach_step(output: Any, collected: Collected, layout: Layout, runner: Any) -> Any:
    """Returns output with the step attached, now or when its own copies are done.

    With asynchronous outputs the copy to the host overlaps with the next pass.
    """
    if not isinstance(output, AsyncModelRunnerOutput):
        setattr(output, STEP, _step(layout, tuple(t.cpu() for t in collected)))
        return output
    return _AsyncStepOutput(output, layout, collected, runner)


def copy_stream(runner: Any) -> Any:
    """The CUDA stream on which vLLM's runner copies its outputs to the host.

    The V2 runner always has one; V1 makes it when it is first asked for.
    """
    if hasattr(runner, "output_copy_stream"):
        return runner.output_copy_stream
    return runner._get_or_create_async_output_copy_stream()


class _AsyncStepOutput(AsyncModelRunnerOutput):
    """An asynchronous output that brings its step along."""

    def __init__(
        self,
        inner: AsyncModelRunnerOutput,
        layout: Layout,
        collected: Collected,
        runner: Any,
    ) -> None:
        self._inner = inner
        self._layout = layout
        self._collected = collected
        self._host: tuple[Tensor, ...] = collected
        self._event: torch.cuda.Event | None = None
        if collected[0].device.type != "cuda":
            return
        stream = copy_stream(runner)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._host = tuple(t.to("cpu", non_blocking=True) for t in collected)
            self._event = torch.cuda.Event()
            self._event.record(stream)

    def get_output(self) -> Any:
        """Waits for vLLM's copies and ours."""
        output = self._inner.get_output()
        if self._event is not None:
            self._event.synchronize()
        setattr(output, STEP, _step(self._layout, self._host))
        return output


def _step(layout: Layout, collected: tuple[Tensor, ...]) -> Step:
    readouts, marks, steps = (t.numpy() for t in collected)
    return Step(
        ids=layout.ids,
        spans=layout.spans.tobytes(),
        positions=layout.positions.tobytes(),
        readouts=readouts.tobytes(),
        marks=marks.T.tobytes(),
        steps=steps.tobytes(),
    )
