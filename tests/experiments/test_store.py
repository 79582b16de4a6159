"""Collapse doses go into the manifest whole, or the pack stays as it was."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from support.pack_folder import write_small_pack
from vagus_server.experiments import run
from vagus_server.experiments.coherence import Bounds
from vagus_server.experiments.controls import write_control_pack
from vagus_server.experiments.dose import Point, Settings
from vagus_server.experiments.dose_report import Finding
from vagus_server.experiments.statistics import Estimate
from vagus_server.experiments.store import check_target, store_collapse_doses
from vagus_server.packs.pack import Pack, PackError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_small_pack(tmp_path / "pack")
    return tmp_path / "pack"


def found(concept: str, site: int, dose: float | None) -> Finding:
    return Finding(concept, site, dose, None, None, None)


def test_collapse_doses_are_stored_and_served_from_the_pack(source: Path) -> None:
    digest = Pack.load(source).digest
    findings = [found("calm", 1, None), found("calm", 2, 0.3), found("sad", 1, 0.6)]
    assert store_collapse_doses(source, findings, digest, "") == 2
    pack = Pack.load(source)
    assert pack.digest == digest, "the vectors are the same"
    assert pack.collapse_dose("calm", 1) is None, "measured anew, and none was too much"
    assert pack.collapse_dose("calm", 2) == 0.3
    assert pack.collapse_dose("sad", 1) == 0.6
    assert store_collapse_doses(source, [found("sad", 2, 0.1)], digest, "") == 2
    assert Pack.load(source).collapse_dose("sad", 1) == 0.6, "other sites keep theirs"


def test_a_pack_that_was_not_measured_takes_no_doses(source: Path, tmp_path: Path) -> None:
    controls = write_control_pack(source, tmp_path / "out", 1, seed=0)
    of = controls.manifest.provenance["controls_of"]
    assert store_collapse_doses(source, [found("sad", 0, 0.2)], controls.digest, of) == 1
    with pytest.raises(PackError, match="is not the pack that is served"):
        store_collapse_doses(source, [found("sad", 0, 0.2)], "ab" * 32, "")


def test_a_dose_that_no_pack_can_have_leaves_the_pack_as_it_was(source: Path) -> None:
    before = (source / "pack.json").read_bytes()
    for site, dose in ((1, -0.3), (1, 0.0), (99, 0.3)):
        with pytest.raises(PackError):
            store_collapse_doses(source, [found("sad", site, dose)], Pack.load(source).digest, "")
        assert (source / "pack.json").read_bytes() == before
    assert sorted(p.name for p in source.iterdir()) == ["pack.json", "tensors.safetensors"]


def test_what_cannot_be_stored_is_refused_before_it_is_measured(source: Path) -> None:
    digest = Pack.load(source).digest
    check_target(source, digest, "", Settings(["sad"], [], [1], [0.1, 0.3]))
    check_target(source, "ab" * 32, digest, Settings(["sad"], [], [1], [0.1]))
    with pytest.raises(PackError, match="another digest"):
        check_target(source, "ab" * 32, "", Settings(["sad"], [], [1], [0.1]))
    with pytest.raises(PackError, match="small has no mine"):
        check_target(source, digest, "", Settings(["sad", "mine"], [], [1], [0.1]))
    for strength in (-0.3, 0.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite and above 0"):
            check_target(source, digest, "", Settings(["sad"], [], [1], [strength, 0.3]))


class _Session:
    """A server of the small pack, with a concept of a tenant."""

    concepts = ("sad", "mine")
    controls: Sequence[str] = ()
    model = SimpleNamespace(
        name="tiny",
        dtype="float32",
        runtime=SimpleNamespace(vllm_version="0", platform="cpu"),
    )

    def __init__(self, digest: str) -> None:
        self.pack = SimpleNamespace(
            **{"name": "small", "version": "1", "digest": digest, "provenance": {}},
            **{"readout_site": 2, "steering_site": 1},
        )

    async def __aenter__(self) -> "_Session":
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    def choose(self, wanted: Sequence[str], count: int) -> list[str]:
        return list(wanted)[:count]


@pytest.fixture
def measured(source: Path, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What was measured in a run against the small pack, in which every text falls apart."""
    measurements = []

    async def measure(session: Any, settings: Settings, seed: int) -> list[Point]:
        measurements.append(settings)
        one = Estimate(1, 1, 1)
        return [
            Point(name, 1, s, {name: 1.0}, one, 1.0, one, 9.0, 0.1, False, "text")
            for name in settings.concepts
            for s in settings.strengths
        ]

    digest = Pack.load(source).digest
    monkeypatch.setattr(run, "Session", lambda server, concurrency: _Session(digest))
    monkeypatch.setattr(run.dose_experiment, "measure", measure)
    monkeypatch.setattr(run.dose_picture, "draw", lambda points, settings, out: out / "dose.png")
    return measurements


def dose(store: Path, out: Path, concepts: Sequence[str], strengths: Sequence[float]) -> str:
    options = run.DoseOptions(concepts, strengths, [], 0, 1, 8, Bounds(), store)
    return asyncio.run(run.dose("server", 1, out, 0, options))


def test_a_run_stores_what_it_found(source: Path, tmp_path: Path, measured: list[Settings]) -> None:
    told = dose(source, tmp_path / "out", ["sad"], [0.2, 0.1])
    assert f"1 collapse doses stored in {source}" in told
    assert Pack.load(source).collapse_dose("sad", 1) == 0.1


def test_a_run_that_could_not_be_stored_is_not_begun(
    source: Path, tmp_path: Path, measured: list[Settings]
) -> None:
    for folder, concepts, strengths in (
        (tmp_path / "none", ["sad"], [0.1]),
        (source, ["mine"], [0.1]),
        (source, ["sad"], [-0.3, 0.3]),
    ):
        with pytest.raises(ValueError, match=r"cannot be read|has no mine|above 0"):
            dose(folder, tmp_path / "out", concepts, strengths)
    assert not measured


def test_figures_outlive_an_error_in_storing_them(
    source: Path, tmp_path: Path, measured: list[Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> int:
        raise PackError("the disk is full")

    monkeypatch.setattr(run, "store_collapse_doses", fail)
    with pytest.raises(PackError, match="the disk is full"):
        dose(source, tmp_path / "out", ["sad"], [0.1])
    assert (tmp_path / "out" / "dose.json").exists()
