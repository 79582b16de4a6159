"""Where steering is placed when nobody chose."""

from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
from vllm.platforms import current_platform

from vagus_server.engine.settings import EngineSettings, _installation


def chosen(wanted: str, cpu: bool, gpus: int, quantization: str | None) -> str:
    config = SimpleNamespace(
        parallel_config=SimpleNamespace(tensor_parallel_size=gpus),
        model_config=SimpleNamespace(quantization=quantization),
    )
    with mock.patch.object(type(current_platform), "is_cpu", return_value=cpu):
        return _installation(EngineSettings(Path("model"), installation=wanted), config)


@pytest.mark.parametrize(
    ("cpu", "gpus", "quantization", "expected"),
    [
        (True, 1, None, "hook"),
        (True, 2, None, "hook"),
        (False, 1, None, "norm"),
        # The hook would end vLLM's fusion with the all-reduce just the same.
        (False, 2, None, "norm"),
        (False, 1, "fp8", "hook"),
        (False, 2, "fp8", "hook"),
    ],
)
def test_the_norm_is_fused_where_vllm_does_not(
    cpu: bool, gpus: int, quantization: str | None, expected: str
) -> None:
    assert chosen("auto", cpu, gpus, quantization) == expected


@pytest.mark.parametrize("wanted", ["norm", "hook"])
def test_what_was_chosen_is_taken(wanted: str) -> None:
    assert chosen(wanted, True, 1, "fp8") == wanted
