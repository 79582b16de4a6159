"""A control pack: the same pack with random directions that stand for nothing."""

from pathlib import Path

import numpy as np
import pytest

from support.pack_folder import write_small_pack
from support.small_pack import NAMES
from vagus_server.experiments.controls import write_control_pack
from vagus_server.packs.pack import Pack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_small_pack(tmp_path / "pack")
    return tmp_path / "pack"


def test_the_concepts_stay_as_they_were(source: Path, tmp_path: Path) -> None:
    before, after = Pack.load(source), write_control_pack(source, tmp_path / "out", 5, seed=1)
    assert after.names == [*NAMES, *(f"random-{i:03d}" for i in range(5))]
    np.testing.assert_array_equal(after.vectors[:4], before.vectors)
    np.testing.assert_array_equal(after.reference_mean[:4], before.reference_mean)
    assert after.residual_norms == before.residual_norms
    assert after.manifest.provenance["controls_of"] == before.digest
    assert after.digest != before.digest
    assert after.collapse_dose("calm", 1) is None, "experiments measure beyond it"


def test_controls_are_random_and_of_the_median_length(source: Path, tmp_path: Path) -> None:
    pack = write_control_pack(source, tmp_path / "out", 50, seed=1)
    lengths = np.linalg.norm(pack.vectors, axis=2)
    medians = np.median(lengths[:4], axis=0)
    np.testing.assert_allclose(lengths[4:], np.broadcast_to(medians, (50, 4)), rtol=2e-3)
    units = pack.unit_vectors[4:]
    for site in range(4):
        cosines = units[:, site] @ units[:, site].T
        off = cosines[np.triu_indices(50, 1)]
        assert abs(off.mean()) < 0.1
        assert off.std() == pytest.approx(1 / np.sqrt(8), rel=0.1), "as in 8 dimensions by chance"
    np.testing.assert_allclose(pack.reference_std[4], pack.reference_std[:4].mean(axis=0))
    assert all(c.description.startswith("control:") for c in pack.manifest.concepts[4:])


def test_the_seed_decides(source: Path, tmp_path: Path) -> None:
    packs = [
        write_control_pack(source, tmp_path / str(i), 3, seed) for i, seed in enumerate((1, 1, 2))
    ]
    assert packs[0].digest == packs[1].digest != packs[2].digest


def test_controls_of_controls_are_refused(source: Path, tmp_path: Path) -> None:
    write_control_pack(source, tmp_path / "out", 1, seed=0)
    with pytest.raises(ValueError, match="has random directions already"):
        write_control_pack(tmp_path / "out", tmp_path / "again", 1, seed=0)
    with pytest.raises(ValueError, match="at least one"):
        write_control_pack(source, tmp_path / "none", 0, seed=0)
