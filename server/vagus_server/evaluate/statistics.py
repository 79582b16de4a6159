"""Intervals and correlations, in numpy alone."""

from collections.abc import Callable

import numpy as np

DRAWS = 2000


def bootstrap(
    count: int,
    statistic: Callable[[np.ndarray], float],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> tuple[float, float]:
    """95 % interval of a statistic of `count` rows; it is given the indices that were drawn."""
    values = np.array([statistic(rng.integers(0, count, count)) for _ in range(draws)])
    values = values[np.isfinite(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def share_interval(hits: np.ndarray, rng: np.random.Generator) -> tuple[float, float]:
    """95 % interval of a mean of rows [n]."""
    return bootstrap(len(hits), lambda rows: float(hits[rows].mean()), rng)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Correlation of two vectors; 0 where one of them does not vary."""
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x**2).sum() * (y**2).sum()))
    return float((x * y).sum()) / scale if scale > 0 else 0.0


def ranked(x: np.ndarray) -> np.ndarray:
    """Ranks from 0 on, ties sharing their mean."""
    values, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    del values
    return np.asarray((ends - (counts + 1) / 2)[inverse])


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Rank correlation."""
    return pearson(ranked(x), ranked(y))


def cosines(rows: np.ndarray) -> np.ndarray:
    """Cosine of each row with each, [rows, rows]."""
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(units @ units.T)


def off_diagonal(matrix: np.ndarray) -> np.ndarray:
    """The upper triangle without the diagonal."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])
