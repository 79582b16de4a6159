"""Each check finds what was planted, and nothing where nothing was planted."""

import pytest

from vagus_server.evaluate.result import Figure, Section


def figures(sections: list[Section]) -> dict[str, Figure]:
    return {f"{s.key}: {f.name}": f for s in sections for f in s.figures}


@pytest.fixture(scope="module")
def found(sections: list[Section]) -> dict[str, Figure]:
    return figures(sections)


@pytest.fixture(scope="module")
def nothing(empty: list[Section]) -> dict[str, Figure]:
    return figures(empty)


HIGH = {
    "held_out: top-1": 0.9,
    "held_out: top-5": 0.95,
    "held_out: words alone, top-1": 0.99,
    "other_writer: top-1": 0.9,
    "other_writer: share of the held-out top-1": 0.9,
    "other_writer: words alone, top-1": 0.99,
    "earlier_writers: top-1": 0.9,
    "earlier_writers: share of the held-out top-1": 0.9,
    "scenarios: 12 implicit, last token before the reply: centred top-1": 0.9,
    "scenarios: 12 implicit, mean over the message: centred top-3": 0.9,
    "scenarios: 36 further, last token before the reply: centred top-1": 0.9,
    "doses: last token before the reply: sign as expected": 0.99,
    "doses: mean over the message: mean rho towards it": 0.7,
    "logit_lens: own name among the first 20": 0.99,
    "geometry: agreement of the halves' cosine matrices (r)": 0.8,
    "affect: |r| of valence with the component closest to it": 0.75,
    "affect: valence read from the vectors (r)": 0.75,
    "speakers: user's concept in the user's words: top-1": 0.9,
    "speakers: assistant's concept in the assistant's words: top-1": 0.9,
    "speakers: r of the last token before the reply and the reply": 0.5,
    "reliability: concepts above the null's 95th percentile": 0.99,
}


@pytest.mark.parametrize(("name", "least"), HIGH.items())
def test_what_was_planted_is_found(found: dict[str, Figure], name: str, least: float) -> None:
    figure = found[name]
    assert figure.value >= least
    if figure.interval is not None:
        low, high = figure.interval
        assert low <= figure.value + 1e-9
        assert figure.value <= high + 1e-9
    for draws in (figure.null.random, figure.null.shuffled):
        if draws is not None:
            assert figure.value > draws.mean()


def test_the_user_does_not_show_in_the_reply_unless_planted(found: dict[str, Figure]) -> None:
    assert found["speakers: user's concept in the assistant's words: top-1"].value < 0.1
    assert abs(found["speakers: r of user's and assistant's words"].value) < 0.2


NULLED = [name for name in HIGH if "words alone" not in name and "logit" not in name]


@pytest.mark.parametrize("name", [n for n in NULLED if "share of the held-out" not in n])
def test_nothing_is_found_where_nothing_is(nothing: dict[str, Figure], name: str) -> None:
    figure = nothing[name]
    for draws in (figure.null.random, figure.null.shuffled):
        if draws is not None:
            # Within what chance gives, with room for the one draw that the figure itself is.
            spread = max(draws.std(), 0.02)
            assert abs(figure.value - draws.mean()) < 4.5 * spread
    if figure.floor is not None:
        assert figure.verdict == "missed"


def test_a_model_without_the_named_weights_has_no_lens(again: list[Section]) -> None:
    lens = next(section for section in again if section.key == "logit_lens")
    assert not lens.figures
    assert "lm_head.weight" in lens.method[0]
