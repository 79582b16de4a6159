"""Ratings are those out of which the choices came."""

import numpy as np
import pytest

from vagus_server.experiments.elo import CENTRE, SCALE, rating_against, ratings, win_chances

TRUE = np.array([1200.0, 1450.0, 1500.0, 1850.0])
FIRST, SECOND = np.triu_indices(4, 1)


def chances(true: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + 10 ** ((true[second] - true[first]) / SCALE)))


def test_ratings_are_recovered() -> None:
    found = ratings(FIRST, SECOND, chances(TRUE, FIRST, SECOND), 4)
    np.testing.assert_allclose(found, TRUE, atol=1e-3)
    assert found.mean() == pytest.approx(CENTRE)


def test_the_order_within_pairs_does_not_matter() -> None:
    chance = chances(TRUE, FIRST, SECOND)
    np.testing.assert_allclose(
        ratings(SECOND, FIRST, 1 - chance, 4), ratings(FIRST, SECOND, chance, 4)
    )


def test_400_points_are_ten_to_one() -> None:
    low, high = ratings(np.array([0]), np.array([1]), np.array([1 / 11]), 2)
    assert high - low == pytest.approx(400, abs=1e-3)


def test_certain_choices_end_with_finite_ratings() -> None:
    found = ratings(FIRST, SECOND, np.zeros(len(FIRST)), 4)
    assert np.isfinite(found).all()
    assert (np.diff(found) > 0).all()


def test_one_is_rated_against_others_that_stand() -> None:
    own = np.array([1700.0, *TRUE])
    chance = chances(own, np.zeros(4, dtype=int), np.arange(1, 5))
    assert rating_against(TRUE, chance) == pytest.approx(1700, abs=0.01)


def test_what_a_place_does_by_itself_cancels() -> None:
    """Naming it first adds 2 to the log-odds, whichever it is: the true log-odds are 0.6."""
    assert win_chances(np.array([2.6]), np.array([-1.4]))[0] == pytest.approx(
        1 / (1 + np.exp(-0.6))
    )
