"""Intervals cover what they must, and nulls compare as they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.experiments.statistics import (
    bootstrap,
    correlation,
    mean,
    pearson,
    pooled,
    share_exceeded,
    wilson,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_wilson_gives_the_published_interval() -> None:
    """Newcombe (1998), Statistics in Medicine 17: 81 of 263 and 15 of 148."""
    assert wilson(81, 263).low == pytest.approx(0.2553, abs=5e-5)
    assert wilson(81, 263).high == pytest.approx(0.3662, abs=5e-5)
    assert wilson(15, 148).low == pytest.approx(0.0624, abs=5e-5)
    assert wilson(15, 148).high == pytest.approx(0.1605, abs=5e-5)


@examples
@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_within_0_and_1_around_the_rate(drawn: tuple[int, int]) -> None:
    estimate = wilson(*drawn)
    assert -1e-12 <= estimate.low <= estimate.value <= estimate.high <= 1 + 1e-12
    assert estimate.high - estimate.low > 0, "some doubt always remains"


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 4)])
def test_what_is_no_rate_is_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match="is no rate"):
        wilson(hits, trials)


def test_the_bootstrap_of_a_mean_agrees_with_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    estimate = mean(values.tolist(), rng())
    assert estimate.value == pytest.approx(values.mean())
    error = values.std() / 20
    assert estimate.high - estimate.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_bootstrap_draws_rows_and_repeats_from_its_seed() -> None:
    rows: list[np.ndarray] = []

    def statistic(drawn: np.ndarray) -> float:
        rows.append(drawn)
        return float(drawn.sum())

    first, second = bootstrap(5, statistic, rng()), bootstrap(5, statistic, rng())
    assert first == second
    assert rows[0].tolist() == [0, 1, 2, 3, 4], "the value itself is of all rows"
    assert all(len(drawn) == 5 and drawn.min() >= 0 and drawn.max() < 5 for drawn in rows)
    assert any(len(set(drawn.tolist())) < 5 for drawn in rows), "with replacement"


def test_pearson() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0])
    assert pearson(x, 2 * x + 1) == pytest.approx(1)
    assert pearson(x, -x) == pytest.approx(-1)
    assert pearson(x, np.array([1.0, -1.0, -1.0, 1.0])) == pytest.approx(0)
    assert pearson(x, np.ones(4)) == 0


def test_the_interval_of_a_correlation_holds_it() -> None:
    draw = np.random.default_rng(2)
    x = draw.normal(size=200)
    estimate = correlation(x, x + draw.normal(size=200), rng())
    assert estimate.low < estimate.value < estimate.high
    assert estimate.low < 1 / np.sqrt(2) < estimate.high


def test_groups_that_differ_widen_the_interval_of_their_pooled_rate() -> None:
    alike, apart = pooled([5, 5, 5, 5], [10] * 4), pooled([0, 10, 0, 10], [10] * 4)
    assert alike == wilson(20, 40), "groups that do not differ"
    assert apart.value == 0.5
    assert (apart.low, apart.high) == (0, 1)
    assert apart == pooled([0, 10, 0, 10], [10] * 4), "always the same draws"


def test_groups_without_a_hit_are_not_certain() -> None:
    assert pooled([0, 0], [20, 20]) == wilson(0, 40)
    assert pooled([3], [20]) == wilson(3, 20), "one group does not vary"
    with pytest.raises(ValueError, match="no rate"):
        pooled([], [])


def test_share_exceeded_counts_what_is_below() -> None:
    assert share_exceeded(2.5, [1, 2, 3, 4]) == 0.5
    assert share_exceeded(2, [1, 2]) == 0.5, "a tie is not exceeded"
    with pytest.raises(ValueError, match="no null"):
        share_exceeded(1, [])
