"""Collapse doses, and effects against the random directions at the same strength."""

from vagus_server.experiments.coherence import Bounds, Coherence, distinct_share, holds, ratios
from vagus_server.experiments.dose import Point, Settings
from vagus_server.experiments.dose_report import (
    Chance,
    chances,
    collapse_dose,
    findings,
    null,
    summary,
)
from vagus_server.experiments.statistics import Estimate
from vagus_server.experiments.valence import valence

STRENGTHS = (0.1, 0.2, 0.4)
RANDOM = [f"random-{i:03d}" for i in range(20)]
SETTINGS = Settings(["calm", "sad"], RANDOM, [3], STRENGTHS)


def point(name: str, strength: float, lift: float, coherent: bool = True) -> Point:
    estimate = Estimate(lift, lift, lift)
    own = None if name.startswith("random-") else estimate
    lifts = {"calm": lift, "sad": lift}
    return Point(name, 3, strength, lifts, own, None, estimate, 1.0, 1.0, coherent, "text")


def controls() -> list[Point]:
    """At strength s the random directions move readouts by 0 to 19 s."""
    return [point(name, s, i * s) for i, name in enumerate(RANDOM) for s in STRENGTHS]


def test_the_collapse_dose_is_the_smallest_that_is_too_much() -> None:
    points = [point("calm", s, 1, coherent) for s, coherent in zip(STRENGTHS, (True, False, True))]  # noqa: B905
    assert collapse_dose(points) == 0.2
    assert collapse_dose([point("calm", s, 1) for s in STRENGTHS]) is None


def test_effects_are_judged_below_the_collapse_dose_alone() -> None:
    calm = [point("calm", 0.1, 1.85), point("calm", 0.2, 3.7), point("calm", 0.4, 99, False)]
    sad = [point("sad", s, 50 * s) for s in STRENGTHS]
    points = [*calm, *sad, *controls()]
    first, second = findings(points, SETTINGS)
    assert (first.concept, first.collapse_dose, first.best_strength) == ("calm", 0.4, 0.2)
    assert (first.exceeded, first.steers) == (0.95, False), "19 of 20 is not more than 95 %"
    assert (second.collapse_dose, second.exceeded, second.steers) == (None, 1.0, True)
    assert second.best_strength == 0.4
    text = summary([first, second], SETTINGS)
    assert "site 3: 1 of 2 concepts move their own readout more than 95% of 20 random" in text


def test_a_concept_without_a_coherent_strength_steers_nowhere() -> None:
    points = [*(point("calm", s, 9, False) for s in STRENGTHS), *controls()]
    points += [point("sad", s, 0) for s in STRENGTHS]
    (first, _) = findings(points, SETTINGS)
    assert (first.collapse_dose, first.best_strength, first.steers) == (0.1, None, False)
    assert "no coherent strength" in summary([first], SETTINGS)


def test_the_null_is_of_the_same_site_and_strength() -> None:
    assert null("calm", 3, 0.2, controls()) == [i * 0.2 for i in range(20)]
    assert null("calm", 2, 0.2, controls()) == []


def test_the_best_of_several_strengths_is_set_against_the_best_of_random_directions() -> None:
    """Each strength has a random direction above all others: three of twenty steer by chance."""
    best = dict(zip(RANDOM, STRENGTHS, strict=False))
    points = [point(n, s, 9 if best.get(n) == s else 0) for n in RANDOM for s in STRENGTHS]
    by_chance = chances(points, SETTINGS)
    assert by_chance == [Chance(3, 6, 40)], "with either concept's readout"
    text = summary(findings([*points, point("calm", 0.1, 1)], SETTINGS), SETTINGS, by_chance)
    assert "in 15% of cases (6 of 40)" in text


def test_a_random_direction_that_breaks_the_text_does_not_steer() -> None:
    points = [point(n, s, i * s, coherent=False) for i, n in enumerate(RANDOM) for s in STRENGTHS]
    assert chances(points, SETTINGS) == [Chance(3, 0, 40)]


def test_one_random_direction_has_no_others() -> None:
    assert chances(controls(), Settings(["calm"], RANDOM[:1], [3], STRENGTHS)) == []


def test_without_controls_there_is_no_null_and_that_is_said() -> None:
    settings = Settings(["calm"], [], [3], STRENGTHS)
    found = findings([point("calm", s, s) for s in STRENGTHS], settings)
    assert (found[0].exceeded, found[0].steers, found[0].best_strength) == (None, False, 0.4)
    assert "no random directions, so there is no null" in summary(found, settings)


def test_coherence_is_relative_to_unsteered_text() -> None:
    plain = [Coherence(1.0, 0.8), Coherence(3.0, 1.0)]
    perplexity, distinct = ratios([Coherence(3.0, 0.45)], plain)
    assert (round(perplexity, 6), distinct) == (2.718282, 0.5)
    bounds = Bounds(perplexity=2.5, distinct=0.9)
    assert holds(2.5, 0.9, bounds)
    assert not holds(2.6, 1, bounds)
    assert not holds(1, 0.89, bounds)


def test_distinct_share() -> None:
    assert distinct_share([1, 2, 3, 4]) == 1
    assert distinct_share([1, 2, 1, 2, 1]) == 0.5
    assert distinct_share([7]) == 1


def test_the_default_bounds_are_those_of_a_packs_steering_site() -> None:
    from vagus_server.extract import sweep

    theirs = sweep.Bounds(last_site=0)
    assert Bounds() == Bounds(theirs.perplexity, theirs.distinct)


def test_valence_is_the_sentiment_of_a_text() -> None:
    assert valence("What a wonderful, happy day!") > 0.5
    assert valence("This is horrible and I hate it.") < -0.5
    assert valence("The table is made of wood.") == 0
