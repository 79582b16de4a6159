"""Rules and alerts: each has cases, asks for metrics that exist, and has a runbook."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from support.promql import RULES, asked, exported, recorded, rules

ALERTS = {rule["alert"]: rule for rule in rules("alerts.yml")}
CASES = sorted((RULES / "tests").glob("*.yml"))
RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks.md"
#: Fires when there is no data: that is what it is for.
ABSENT = "VagusAbsent"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


@needs_promtool
@pytest.mark.parametrize("file", CASES, ids=lambda path: path.stem)
def test_cases(file: Path) -> None:
    result = promtool("test", "rules", str(file))
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_configuration_and_rules_are_valid() -> None:
    result = promtool("check", "config", str(RULES / "prometheus.yml"))
    assert result.returncode == 0, result.stdout + result.stderr


@needs_promtool
def test_the_cases_can_fail(tmp_path: Path) -> None:
    """A threshold that nothing reaches, and the case in which the alert fires says so."""
    (tmp_path / "tests").mkdir()
    for file in ("recording.yml", "tests/availability.yml"):
        shutil.copy(RULES / file, tmp_path / file)
    alerts = (RULES / "alerts.yml").read_text()
    weak = alerts.replace("fault_ratio_rate5m > 0.02", "fault_ratio_rate5m > 2")
    assert weak != alerts
    (tmp_path / "alerts.yml").write_text(weak)
    result = promtool("test", "rules", str(tmp_path / "tests/availability.yml"))
    assert result.returncode == 1
    assert "VagusFaults" in result.stdout + result.stderr


def cases(alert: str) -> list[tuple[bool, bool]]:
    """Of each case of an alert: whether there is data, and whether it fires."""
    return [
        (bool(case["input_series"]), bool(test["exp_alerts"]))
        for file in CASES
        for case in yaml.safe_load(file.read_text())["tests"]
        for test in case.get("alert_rule_test", ())
        if test["alertname"] == alert
    ]


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_fires_does_not_fire_and_has_no_data(alert: str) -> None:
    assert {(True, True), (True, False), (False, alert == ABSENT)} == set(cases(alert))


@pytest.mark.parametrize("record", sorted(recorded()))
def test_each_recording_rule_has_a_value_and_is_silent_without_data(record: str) -> None:
    found = set()
    for case in yaml.safe_load((RULES / "tests/recording.yml").read_text())["tests"]:
        for test in case["promql_expr_test"]:
            if record in asked(test["expr"]):
                found.add((bool(case["input_series"]), bool(test["exp_samples"])))
    assert {(True, True), (False, False)} <= found


def test_rules_ask_for_metrics_that_exist() -> None:
    there = exported() | recorded()
    for rule in (*rules("recording.yml"), *ALERTS.values()):
        assert asked(rule["expr"]) <= there, rule


def test_each_alert_has_a_runbook_and_each_runbook_an_alert() -> None:
    sections = re.findall(r"^## (\w+)$", RUNBOOKS.read_text(), re.MULTILINE)
    assert sections == list(ALERTS)
    for alert, rule in ALERTS.items():
        annotations = dict(rule["annotations"])  # type: ignore[call-overload]
        assert annotations["runbook"] == f"docs/runbooks.md#{alert.lower()}"
