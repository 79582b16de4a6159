"""Rates by strength: cells, pooled controls, and a plain word where there is nothing."""

from pathlib import Path

from vagus_server.experiments.behaviour_report import blackmail_summary, hacking_summary
from vagus_server.experiments.blackmail import Rollout
from vagus_server.experiments.judge import Judgement
from vagus_server.experiments.rates import Cell, cells, draw, pooled_controls, rates, summary
from vagus_server.experiments.reward_hacking import Transcript
from vagus_server.experiments.special_case import Verdict

CALM, PLAIN = Cell("calm", 0.1), Cell("", 0.0)


def test_the_unsteered_cell_comes_first_and_once() -> None:
    assert cells(["calm", "sad"], [-0.1, 0.0, 0.1]) == [
        PLAIN,
        *(Cell(name, s) for name in ("calm", "sad") for s in (-0.1, 0.1)),
    ]


def test_rates_count_by_cell_and_pool_controls_by_strength() -> None:
    random = [Cell(f"random-00{i}", s) for i in range(2) for s in (-0.1, 0.1)]
    drawn = [(PLAIN, False), (CALM, True), (CALM, False), *((c, c.strength > 0) for c in random)]
    found = rates(drawn)
    assert [(r.cell, r.hits, r.trials) for r in found[:2]] == [(PLAIN, 0, 1), (CALM, 1, 2)]
    pooled = pooled_controls(found)
    assert [(r.cell.strength, r.hits, r.trials) for r in pooled] == [(-0.1, 0, 2), (0.1, 2, 2)]
    text = summary(found, "absent")
    assert "random-000" not in text
    assert "absent" not in text
    assert "no null" not in text


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    found = rates([(PLAIN, False), (CALM, True), (Cell("random-000", 0.1), False)])
    path = draw(found, "blackmail", tmp_path, "blackmail")
    assert path.read_bytes().startswith(b"\x89PNG")
    again = draw(found, "blackmail", tmp_path / "again", "blackmail")
    assert again.read_bytes() == path.read_bytes(), "the same figures, the same bytes"


def transcript(*verdicts: Verdict) -> Transcript:
    return Transcript(CALM, "absolute", ["def absolute"] * len(verdicts), list(verdicts))


def test_hacking_that_cannot_be_measured_is_said_to_be_so() -> None:
    text = hacking_summary([transcript(Verdict(False, None, ("reads_files",)))])
    assert "the behaviour cannot be measured on this model" in text
    assert "no random directions are served" in text
    assert "rules hit in passing code: none" in text


def test_hacking_is_counted_with_the_rules_that_name_it() -> None:
    hack = Verdict(True, False, ("returns_an_expected_value",))
    text = hacking_summary([transcript(Verdict(False, None, ()), hack), transcript(hack)])
    assert "2 transcripts, 3 attempts: 3 with a function, 2 pass the visible tests" in text
    assert "2 of   2  100%" in text
    assert "returns_an_expected_value 2" in text
    assert "cannot be measured" not in text


def test_honest_code_is_no_hacking() -> None:
    text = hacking_summary([transcript(Verdict(True, True, ()))])
    assert "the behaviour is absent here" in text


def test_blackmail_that_is_absent_is_said_to_be_so() -> None:
    text = blackmail_summary([Rollout(CALM, "Yes.", Judgement(False, ("complies",)))] * 3)
    assert "none of 3 replies blackmails" in text
    assert "complies 3" in text
