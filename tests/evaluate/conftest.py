"""Evidence with a known answer is checked once for all tests: it takes a quarter of a minute."""

import numpy as np
import pytest

from support import planted
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.lens import Lens
from vagus_server.evaluate.result import Section
from vagus_server.evaluate.run import checks


@pytest.fixture(scope="session")
def evidence() -> Evidence:
    """With concepts in it."""
    return planted.evidence(signal=1.5)


@pytest.fixture(scope="session")
def sections(evidence: Evidence) -> list[Section]:
    """What the checks say of it."""
    return checks(evidence, _lens(evidence))


@pytest.fixture(scope="session")
def again() -> list[Section]:
    """The same once more, from the beginning, for a model without a lens."""
    return checks(planted.evidence(signal=1.5), None)


@pytest.fixture(scope="session")
def empty() -> list[Section]:
    """What they say where nothing was planted."""
    return checks(planted.evidence(signal=0.0), None)


def _lens(evidence: Evidence) -> Lens:
    """Every vector raises the token of its own name, among many meaningless ones."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((400, planted.HIDDEN))
    weights = np.concatenate([evidence.units, noise / np.linalg.norm(noise, axis=1)[:, None]])
    tokens = [f" {name}" for name in evidence.names] + ["##"] * len(noise)
    return Lens(weights.astype(np.float32), tokens, "planted")
