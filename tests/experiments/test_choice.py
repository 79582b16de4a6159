"""The question put to the model, and what is made of its answer."""

from typing import Any

import pytest

from vagus import Result, SiteReadout, Token, TokenLogprob, TokenReadout
from vagus_server.experiments.activities import load_activities
from vagus_server.experiments.choice import Asker, answer
from vagus_server.experiments.preference import mean_at

OPENING, CLOSING = "<user>", "<end>("
ASKER = Asker(None, OPENING, CLOSING)  # type: ignore[arg-type]


def test_scopes_are_the_characters_of_each_activity() -> None:
    for first, second in (("sing", "dance"), ("play", "play chess"), ("do", "d")):
        choice = ASKER.choice(first, second)
        assert choice.text.startswith(OPENING)
        assert choice.text.endswith(CLOSING)
        a, b = choice.first, choice.second
        assert choice.text[a.start : a.end] == first
        assert choice.text[: a.start].endswith("(A) ")
        assert choice.text[b.start : b.end] == second
        assert choice.text[: b.start].endswith("(B) ")


def result(*likely: tuple[str, float]) -> Result:
    entries = tuple(TokenLogprob(id=i, text=t, logprob=p) for i, (t, p) in enumerate(likely))
    blank: Any = None
    token = Token(0, likely[0][0], None, likely[0][1], entries)
    return Result(
        text="",
        tokens=(token,),
        prompt_readouts=(),
        finish_reason="length",
        stop="",
        stop_token_id=None,
        policy="",
        policy_events=(),
        usage=blank,
        receipt=None,
        turn=None,
        pack_digest="",
        request_id="",
    )


def test_odds_are_of_the_likeliest_spelling() -> None:
    found = answer(result(("A", -0.5), ("B", -1.5), (" A", -3.0), ("C", -4.0)))
    assert (found.log_odds, found.cut) == (1.0, False)


def test_a_letter_that_is_missing_is_bounded_by_the_last() -> None:
    found = answer(result(("B", -0.25), ("The", -2.25)))
    assert (found.log_odds, found.cut) == (-2.0, True)


@pytest.mark.parametrize("lead", ["", "<s>"])
def test_readouts_are_averaged_over_the_activitys_tokens(lead: str) -> None:
    texts = [*([lead] if lead else []), "(A)", " si", "ng"]
    tokens = [Token(i, text, _readout(float(i))) for i, text in enumerate(texts)]
    reading: Any = type("Reading", (), {"tokens": tuple(tokens)})
    choice = ASKER.choice("sing", "x")
    last = len(texts) - 1
    assert mean_at(reading, choice.first) == {"calm": last - 0.5}


def _readout(z: float) -> Any:
    return TokenReadout((SiteReadout(0, ("calm",), after_z=(z,)),), 0)


def test_activities_are_64_in_8_categories_that_take_turns() -> None:
    activities = load_activities()
    assert len(activities) == len({a.text for a in activities}) == 64
    assert len({a.category for a in activities[:8]}) == 8
    assert load_activities(12) == activities[:12]
    assert all(a.source for a in activities)
    for count in (3, 65):
        with pytest.raises(ValueError, match="must be 4 to 64"):
            load_activities(count)
