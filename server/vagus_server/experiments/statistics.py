"""Intervals, correlations and nulls."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 2000
_Z95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def bootstrap(
    count: int, statistic: Callable[[np.ndarray], float], rng: np.random.Generator
) -> Estimate:
    """A statistic of `count` rows, with the percentile bootstrap's interval.

    Args:
        count: number of rows, at least 1.
        statistic: of the rows whose indices it is given, int [count].
    """
    value = statistic(np.arange(count))
    drawn = [statistic(rng.integers(0, count, count)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def mean(values: Sequence[float], rng: np.random.Generator) -> Estimate:
    """A mean, with the bootstrap's interval."""
    array = np.asarray(values, dtype=np.float64)
    return bootstrap(len(array), lambda rows: float(array[rows].mean()), rng)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two vectors; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0


def correlation(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> Estimate:
    """Pearson's r, with the interval of drawing pairs anew."""
    return bootstrap(len(x), lambda rows: pearson(x[rows], y[rows]), rng)


def wilson(hits: int, trials: int) -> Estimate:
    """A rate with Wilson's interval, which holds for rates near 0 and 1 too.

    Raises:
        ValueError: there were no trials, or more hits than trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} of {trials} is no rate")
    rate, z2 = hits / trials, _Z95**2
    middle = (rate + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = rate * (1 - rate) / trials + z2 / (4 * trials**2)
    half = _Z95 * math.sqrt(spread) / (1 + z2 / trials)
    return Estimate(rate, min(middle - half, rate), max(middle + half, rate))


def pooled(hits: Sequence[int], trials: Sequence[int]) -> Estimate:
    """The rate of groups' trials taken together.

    Trials of a group are not independent of each other, so groups are drawn anew as a whole
    (bootstrap, always with the same draws). Few groups, or groups without a hit, vary less than
    is known of them: the interval is never narrower than Wilson's.

    Raises:
        ValueError: there were no trials, or more hits than trials.
    """
    h, n = np.asarray(hits), np.asarray(trials)
    least = wilson(int(h.sum()), int(n.sum()))
    drawn = bootstrap(
        len(h), lambda rows: float(h[rows].sum() / n[rows].sum()), np.random.default_rng(0)
    )
    return Estimate(least.value, min(least.low, drawn.low), max(least.high, drawn.high))


def share_exceeded(value: float, null: Sequence[float]) -> float:
    """Share of the null's values that are below the value.

    Raises:
        ValueError: the null is empty.
    """
    if not null:
        raise ValueError("there is no null to compare with")
    return float(np.mean(np.asarray(null) < value))
