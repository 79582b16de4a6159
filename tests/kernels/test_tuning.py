"""Measured choices by device and shape, and the benchmark's own check of what it times."""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest
import torch
from triton.runtime.errors import OutOfResources, PTXASError

from bench.kernels import tune
from vagus_kernels import tuning
from vagus_kernels.tuning import DEFAULT, Tuning

CUDA = torch.device("cuda", 0)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A device for which one shape was measured."""
    monkeypatch.setattr(tuning, "FOLDER", tmp_path)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _index: "NVIDIA Test 9000")
    tuning._name.cache_clear()
    tuning._tuned.cache_clear()
    path = tmp_path / "nvidia-test-9000.json"
    path.write_text(json.dumps({"4096x171": {"tile_rows": 128, "row_warps": 4}}))
    return path


def test_measured_choices_take_the_defaults_place(device: Path) -> None:
    assert tuning.tuning(CUDA, 4096, 171) == Tuning(tile_rows=128, row_warps=4)
    assert tuning.tuning(CUDA, 4096, 12) == DEFAULT
    assert tuning.tuning(torch.device("cpu"), 4096, 171) == DEFAULT
    device.unlink()
    tuning._tuned.cache_clear()
    assert tuning.tuning(CUDA, 4096, 171) == DEFAULT


def test_a_choice_that_is_not_known_is_refused(device: Path) -> None:
    device.write_text(json.dumps({"4096x171": {"warp_speed": 9}}))
    with pytest.raises(TypeError):
        tuning.tuning(CUDA, 4096, 171)


def test_every_choice_gives_the_same_results() -> None:
    driver = Path(__file__).with_name("scene_driver.py")
    subprocess.run([sys.executable, driver], check=True, env=os.environ | {"TRITON_INTERPRET": "1"})


@pytest.mark.parametrize("error", [OutOfResources(300000, 232448, "shared memory"), PTXASError()])
def test_a_choice_that_does_not_fit_the_device_is_not_taken(error: Exception) -> None:
    scene = mock.Mock()
    scene.check.side_effect = error
    with mock.patch.object(tune, "Scene", return_value=scene):
        assert tune.cost(DEFAULT, 4096, 171, cache=50e6) == float("inf")
