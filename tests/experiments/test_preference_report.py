"""The preference report keeps to what was measured, and shows the paper's figures beside it."""

import json
from pathlib import Path

from vagus_server.experiments.activities import load_activities
from vagus_server.experiments.preference import Outcome, Read, Settings, Shift
from vagus_server.experiments.preference_report import draw, extremes, summary
from vagus_server.experiments.result import write_json
from vagus_server.experiments.statistics import Estimate

RANDOM = [f"random-{i:03d}" for i in range(20)]
CONCEPTS = [f"concept-{i:02d}" for i in range(40)] + ["hostile"]


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.1, value + 0.1)


def read(name: str, r: float) -> Read:
    return Read(name, [0.0, 1.0, 2.0, r], estimate(r))


def outcome() -> Outcome:
    reads = [read(name, (i - 20) / 25) for i, name in enumerate(CONCEPTS[:-1])]
    reads += [read("hostile", 0.0), *(read(name, i / 100) for i, name in enumerate(RANDOM))]
    shifts = [
        Shift("concept-00", [1.0, 2.0], estimate(1.5)),
        Shift("random-000", [0, 0], estimate(0)),
    ]
    return Outcome([1400, 1450, 1550, 1600], 0.25, 0.1, reads, [0, 2], shifts, estimate(0.5))


def settings(controls: list[str]) -> Settings:
    return Settings(
        load_activities(4), CONCEPTS, ["concept-00"], controls, controls[:1], 0.5, [], 1
    )


def test_extremes_are_shown_from_both_ends_with_the_papers_in_order() -> None:
    shown = [r.name for r in extremes(outcome().reads[: len(CONCEPTS)])]
    assert shown[:10] == [f"concept-{i}" for i in range(39, 29, -1)]
    assert shown[10:] == ["hostile", *(f"concept-{i:02d}" for i in range(9, -1, -1))]
    few = outcome().reads[:3]
    assert [r.name for r in extremes(few)] == ["concept-02", "concept-01", "concept-00"]


def test_concepts_are_counted_beyond_the_null() -> None:
    text = summary(outcome(), settings(RANDOM))
    # 95 % of 0.00 to 0.19 are below 0.1805: |i - 20| / 25 is beyond it for 31 of 40.
    assert "|r| below 0.18; 31 of 41 concepts are beyond it" in text
    assert "hostile          r 0.00 [-0.10, 0.10]   paper -0.74" in text
    assert "1 random directions: 95 % within +0.0 to +0.0" in text
    assert "shift against r: r = 0.50 [0.40, 0.60] (paper 0.85)" in text
    assert "no null" in summary(outcome(), settings([]))


def test_the_picture_and_the_figures_are_written(tmp_path: Path) -> None:
    assert draw(outcome(), settings(RANDOM), tmp_path).read_bytes().startswith(b"\x89PNG")
    path = write_json(tmp_path, "preference", vars(outcome()) | {"nothing": float("nan")})
    found = json.loads(path.read_text())
    assert found["elo"] == [1400, 1450, 1550, 1600]
    assert found["coupling"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert found["nothing"] is None
    assert len(path.read_text().splitlines()) < 100
