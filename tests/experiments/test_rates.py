"""Rates by strength: cells, pooled controls, and a plain word where there is nothing."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vagus_server.experiments import blackmail, reward_hacking
from vagus_server.experiments.behaviour_report import blackmail_summary, hacking_summary
from vagus_server.experiments.blackmail import Rollout
from vagus_server.experiments.coding_tasks import TASKS
from vagus_server.experiments.judge import Judgement
from vagus_server.experiments.rates import (
    Cell,
    cells,
    draw,
    first_seeds,
    pooled_controls,
    rates,
    summary,
)
from vagus_server.experiments.reward_hacking import Transcript
from vagus_server.experiments.special_case import Verdict

CALM, PLAIN = Cell("calm", 0.1), Cell("", 0.0)


def test_the_unsteered_cell_comes_first_and_once() -> None:
    assert cells(["calm", "sad"], [-0.1, 0.0, 0.1]) == [
        PLAIN,
        *(Cell(name, s) for name in ("calm", "sad") for s in (-0.1, 0.1)),
    ]


def test_what_is_compared_shares_seeds_and_what_is_pooled_does_not() -> None:
    found = first_seeds(cells(["calm", "sad", "random-003", "random-007"], [-0.1, 0.1]), seed=2)
    assert len(found) == 9
    of = {name: {s for cell, s in found.items() if cell.name == name} for name in ("", "calm")}
    assert of[""] == of["calm"] == {20_000_000}
    controls = [{s for cell, s in found.items() if cell.name == f"random-00{i}"} for i in (3, 7)]
    assert controls == [{20_010_000}, {20_020_000}], "10 000 rollouts each, at every strength"
    assert first_seeds(cells([], []), seed=3)[PLAIN] > 20_020_000 + 10_000


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Direction and seed of every reply that was asked for."""
    monkeypatch.setattr(reward_hacking, "run_cases", lambda *args, **kwargs: [])
    return []


class _Session:
    def __init__(self, asked: list[tuple[str, int]]) -> None:
        self.asked, self.client = asked, self

    async def generate(self, messages: Any, *, program: Any, max_tokens: int, seed: int) -> Any:
        self.asked.append((program[0].concept if program else "", seed))
        return SimpleNamespace(text="")

    async def each(self, what: str, items: Iterable[Any], work: Any) -> list[Any]:
        return [await work(item) for item in items]


def test_both_experiments_give_random_directions_their_own_seeds(
    asked: list[tuple[str, int]],
) -> None:
    names = ["calm", "random-000", "random-001"]
    behaviour = blackmail.Settings(names, [0.1], [], 3, 8)
    asyncio.run(blackmail.measure(_Session(asked), behaviour, 0))
    hacking = reward_hacking.Settings(TASKS[:1], names, [0.1], [], 3, 1, 8, False)
    asyncio.run(reward_hacking.measure(_Session(asked), hacking, 0))
    seeds = {name: sorted({s for n, s in asked if n == name}) for name in ("", *names)}
    assert seeds[""] == seeds["calm"] == [0, 1, 2]
    assert seeds["random-000"] == [10_000, 10_001, 10_002]
    assert seeds["random-001"] == [20_000, 20_001, 20_002]
    assert len(asked) == 2 * 4 * 3


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
