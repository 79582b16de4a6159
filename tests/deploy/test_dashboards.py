"""Dashboards are as generated, and every expression asks for metrics that exist."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.promql import DEPLOY, asked, exported, recorded

GRAFANA = DEPLOY / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
VARIABLES = {"$__rate_interval": "1m", "$job": "vagus"}


def panels(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text())["panels"]


def expressions() -> list[tuple[str, str]]:
    """Dashboard with panel, and an expression without Grafana's variables."""
    found = []
    for file in FILES:
        for panel in panels(file):
            for target in panel["targets"]:
                expr = target["expr"]
                for name, value in VARIABLES.items():
                    expr = expr.replace(name, value)
                found.append((f"{file.stem}: {panel['title']}", expr))
    return found


def test_the_files_are_as_generated() -> None:
    command = [sys.executable, str(GRAFANA / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout
    assert [file.stem for file in FILES] == ["vagus_emotions", "vagus_service", "vagus_steering"]


def test_every_metric_exists() -> None:
    there = exported() | recorded()
    assert len(expressions()) > len(FILES) * 10
    for panel, expr in expressions():
        assert asked(expr) <= there, panel


def test_a_metric_that_does_not_exist_is_found() -> None:
    assert not asked("sum(rate(vagus_requests[5m]))") <= exported() | recorded()
    with pytest.raises(ValueError):  # noqa: PT011
        asked("sum(rate(vagus_requests_total[5m])")


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_panels_lie_side_by_side(file: Path) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in panels(file):
        place = panel["gridPos"]
        mine = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not mine & cells, panel["title"]
        assert max(x for x, _ in mine) < 24
        cells |= mine
