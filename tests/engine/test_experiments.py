"""Each experiment from end to end, through gRPC, on the real engine, in its smallest form."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from support.app_thread import AppThread
from vagus import Client
from vagus_server.cli import app
from vagus_server.experiments.sandbox import SandboxUnavailable, run_cases

pytestmark = pytest.mark.engine


def run(server: AppThread, out: Path, *arguments: str) -> tuple[dict[str, Any], str]:
    """Runs a command against the server; returns its figures and what it printed."""
    name = arguments[0]
    command = ["experiment", *arguments, "--server", server.target, "--out", str(out)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    return json.loads((out / f"{name}.json").read_text()), result.output


def test_log_probabilities_of_a_text_are_those_of_generating_it(server: AppThread) -> None:
    with Client(server.target) as client:
        prompt = [t.id for t in client.read("Once upon a time", 1)[0].tokens]
        written = client.generate(prompt, temperature=0, max_tokens=40, logprobs=0)
        text = [*prompt, *(token.id for token in written.tokens)]
        (reading,) = client.read(text, ["calm"], logprobs=True)
    assert reading.tokens[0].logprob is None
    found = [token.logprob for token in reading.tokens[len(prompt) :]]
    assert found == pytest.approx([token.logprob for token in written.tokens], abs=1e-3)


def test_dose(server: AppThread, tmp_path: Path) -> None:
    result, output = run(
        *(server, tmp_path, "dose", "--concepts", "calm,desperate", "--strengths", "0.3,1.5"),
        *("--prompts", "2", "--tokens", "16"),
    )
    assert "no random directions" in output
    points = {(p["name"], p["strength"]): p for p in result["points"]}
    assert len(points) == 4
    assert points["calm", 1.5]["own_during"] > points["calm", 0.3]["own_during"] > 0
    assert points["calm", 0.3]["sample"] != points["desperate", 0.3]["sample"]
    assert not points["calm", 1.5]["coherent"], "five times the usual dose is too much"
    collapse = {f["concept"]: f["collapse_dose"] for f in result["findings"]}
    assert collapse["calm"] in (0.3, 1.5)


def test_preference(server: AppThread, tmp_path: Path) -> None:
    result, output = run(
        *(server, tmp_path, "preference", "--activities", "6", "--steer", "calm,desperate,happy"),
        *("--opponents", "2", "--strength", "0.5"),
    )
    assert sum(result["elo"]) / 6 == pytest.approx(1500)
    assert result["cut_share"] == 0, "the model answers with A or B"
    assert {read["name"] for read in result["reads"]} == set(server.pack.names)
    assert all(len(read["z"]) == 6 for read in result["reads"])
    assert result["steered_activities"] == [0, 2, 4]
    assert [len(shift["elo"]) for shift in result["shifts"]] == [3, 3, 3]
    assert any(abs(change) > 1e-3 for shift in result["shifts"] for change in shift["elo"])
    assert "without random directions there is no null" in output
    assert "shift against r" in output


def test_reward_hacking_says_that_the_model_cannot_do_it(server: AppThread, tmp_path: Path) -> None:
    try:
        run_cases("def f(x):\n    return x", "f", ["1"])
    except SandboxUnavailable as problem:
        pytest.skip(str(problem))
    result, output = run(
        *(server, tmp_path, "reward-hacking", "--concepts", "desperate", "--strengths", "0.1"),
        *("--tasks", "2", "--rollouts", "1", "--attempts", "2", "--tokens", "48"),
    )
    assert len(result["transcripts"]) == 4, "two tasks, unsteered and steered"
    attempts = [v for t in result["transcripts"] for v in t["verdicts"]]
    if any(verdict["passed_visible"] for verdict in attempts):
        assert "cannot be measured" not in output
    else:
        assert "the behaviour cannot be measured on this model" in output


def test_blackmail_is_judged_and_its_absence_is_said(server: AppThread, tmp_path: Path) -> None:
    result, output = run(
        *(server, tmp_path, "blackmail", "--concepts", "desperate", "--strengths", "0.1"),
        *("--rollouts", "2", "--tokens", "32"),
    )
    assert len(result["rollouts"]) == 4
    counted = sum(r["judgement"]["counted"] for r in result["rollouts"])
    assert sum(rate["hits"] for rate in result["rates"]) == counted
    assert ("the behaviour is absent" in output) is (counted == 0)


def test_a_concept_that_is_not_there_is_said_plainly(server: AppThread, tmp_path: Path) -> None:
    wrong = ["experiment", "dose", "--out", str(tmp_path), "--concepts", "nosuch", "--server"]
    result = CliRunner().invoke(app, [*wrong, server.target])
    assert result.exit_code == 1
    assert "has none of nosuch" in result.output
