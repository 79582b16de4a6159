"""The report: a page that needs nothing else, and JSON with every figure."""

import json
from pathlib import Path

import pytest

from support import planted
from vagus_server.evaluate.evidence import Evidence
from vagus_server.evaluate.report import write_report
from vagus_server.evaluate.result import Section


@pytest.fixture(scope="module")
def written(
    evidence: Evidence,
    sections: list[Section],
    again: list[Section],
    tmp_path_factory: pytest.TempPathFactory,
) -> list[Path]:
    """Two runs from the same numbers; but for the lens, which only the first one has."""
    folders = [tmp_path_factory.mktemp("report") for _ in range(2)]
    for folder, found in zip(folders, (sections, again), strict=True):
        write_report(folder, evidence, [s for s in found if s.key != "logit_lens"])
    return folders


def test_the_same_numbers_give_the_same_bytes(written: list[Path]) -> None:
    first, second = map(planted.files, written)
    assert first == second
    assert {"report.html", "report.json"} <= set(first)


def test_the_page_stands_alone(written: list[Path]) -> None:
    page = (written[0] / "report.html").read_text()
    assert planted.outside_of(page) == []
    names = {path.name for path in (written[0] / "pictures").iterdir()}
    assert planted.pictures_of(page) == len(names) > 8
    assert page.index("no\nclaim") < page.index("Summary")


def test_json_has_every_figure_of_the_page(written: list[Path]) -> None:
    page = (written[0] / "report.html").read_text()
    content = json.loads((written[0] / "report.json").read_text())
    assert content["pack"] == "planted"
    figures = [f for s in content["sections"].values() for f in s["figures"]]
    assert len(figures) > 40
    for section in content["sections"].values():
        assert section["title"] in page
    floors = [f for f in figures if "floor" in f]
    assert {f["verdict"] for f in floors} <= {"met", "met; lower bound below", "missed"}
    # Held-out, another writer, earlier writers, valence, halves.
    assert len(floors) == 8
