"""A request that is preempted while it is tapped counts once: on the engine, with a tiny model."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_tiny_model

TESTS = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """What an engine that must preempt measured, and one that need not."""
    folder = tmp_path_factory.mktemp("preempted")
    write_tiny_model("Llama", folder / "model")
    driver = [sys.executable, "-m", "support.preempt_driver", folder / "model", folder / "out.npz"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",  # more would wait for each other
        "PYTHONPATH": os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])),
    }
    subprocess.run([str(part) for part in driver], check=True, env=environment)
    found = dict(np.load(folder / "out.npz"))
    assert found["few_preempted"] > 0
    assert found["all_preempted"] == 0
    assert np.array_equal(found["few_tokens"], found["all_tokens"])
    return found


def test_means_are_those_of_an_undisturbed_run(measured: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(measured["few_norms"], measured["all_norms"], rtol=1e-4)
    length = np.linalg.norm(measured["all_means"], axis=-1, keepdims=True)
    assert (np.abs(measured["few_means"] - measured["all_means"]) <= 1e-4 * length).all()


def test_every_position_is_read_once(measured: dict[str, np.ndarray]) -> None:
    requests, length = measured["all_tokens"].shape
    prompt = 40
    assert measured["all_positions"] == requests * (prompt + length - 2)
    assert measured["few_positions"] == measured["all_positions"]
    scale = np.abs(measured["all_moments"]).max(axis=(1, 2), keepdims=True)
    assert (np.abs(measured["few_moments"] - measured["all_moments"]) <= 1e-4 * scale).all()
