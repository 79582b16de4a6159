"""Steps ride on a pass's output; on CUDA their copies follow vLLM's own, on its stream."""

import inspect
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from vllm.v1.outputs import AsyncModelRunnerOutput
from vllm.v1.worker import gpu_model_runner
from vllm.v1.worker.gpu import model_runner

from vagus_server.plugin.extract_worker import ExtractWorker
from vagus_server.plugin.passes import Layout
from vagus_server.plugin.transport import STEP, attach_step
from vagus_server.plugin.worker import SteeringWorker

LAYOUT = Layout(["a"], np.zeros((1, 5), np.int32), np.array([7], np.int32))
#: Readouts, marks and steps: of one row, one site, one concept.
COLLECTED = (torch.ones(1, 1, 1, 2), torch.ones(1, 1, dtype=torch.int32), torch.ones(1))


class Later(AsyncModelRunnerOutput):
    def get_output(self) -> Any:
        return SimpleNamespace()


def on_cuda(tensor: torch.Tensor) -> mock.Mock:
    """A tensor that says it is on a GPU."""
    return mock.Mock(
        device=SimpleNamespace(type="cuda"), to=mock.Mock(return_value=tensor), name="on a GPU"
    )


def v1_runner(stream: Any) -> Any:
    return mock.Mock(
        spec=["_get_or_create_async_output_copy_stream"],
        _get_or_create_async_output_copy_stream=lambda: stream,
    )


def v2_runner(stream: Any) -> Any:
    return mock.Mock(spec=["output_copy_stream"], output_copy_stream=stream)


def test_a_step_is_attached_to_an_output_at_once() -> None:
    output = attach_step(SimpleNamespace(), COLLECTED, LAYOUT, None)
    assert getattr(output, STEP).ids == ["a"]


def test_a_step_is_attached_when_an_asynchronous_output_is_there() -> None:
    later = attach_step(Later(), COLLECTED, LAYOUT, None)
    assert getattr(later.get_output(), STEP).readouts == COLLECTED[0].numpy().tobytes()


@pytest.mark.parametrize("runner", [v1_runner, v2_runner])
def test_on_a_gpu_copies_queue_on_the_runners_stream(runner: Any) -> None:
    stream = mock.Mock(name="the runner's stream")
    with mock.patch.multiple(
        torch.cuda, stream=mock.MagicMock(), current_stream=mock.Mock(), Event=mock.Mock()
    ):
        collected: Any = tuple(on_cuda(tensor) for tensor in COLLECTED)
        later = attach_step(Later(), collected, LAYOUT, runner(stream))
        torch.cuda.stream.assert_called_once_with(stream)
        torch.cuda.Event().record.assert_called_once_with(stream)
        step = getattr(later.get_output(), STEP)
        torch.cuda.Event().synchronize.assert_called_once_with()
    stream.wait_stream.assert_called_once_with(mock.ANY)
    assert step.readouts == COLLECTED[0].numpy().tobytes()


@pytest.mark.parametrize("kind", [SteeringWorker, ExtractWorker])
def test_a_pass_that_failed_brings_no_step(kind: type[SteeringWorker]) -> None:
    """What vLLM's worker then returns is None; its own error must not be hidden by ours."""
    worker: Any = object.__new__(kind)
    worker._sample = lambda _grammar: None
    worker.batch = SimpleNamespace(layout=LAYOUT)
    assert worker.sample_tokens(None) is None


def test_vllms_runners_have_the_streams_that_are_asked_for() -> None:
    v1 = gpu_model_runner.GPUModelRunner
    assert not hasattr(v1, "output_copy_stream")
    assert callable(v1._get_or_create_async_output_copy_stream)
    v2 = model_runner.GPUModelRunner
    assert "self.output_copy_stream = " in inspect.getsource(v2.__init__)
