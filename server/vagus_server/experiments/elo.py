"""Ratings from choices, by the Bradley-Terry model on Elo's scale."""

import numpy as np

#: Ratings that differ by this much: the better is chosen ten times as often.
SCALE = 400.0
#: The mean of all ratings.
CENTRE = 1500.0
_STEPS = 100
_LARGEST = 40.0


def win_chances(forward: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Chance that the first of a pair is chosen, whichever is named first.

    Args:
        forward: log-odds of choosing the first when it is named first.
        backward: log-odds of choosing the first when it is named second.
    """
    return _logistic((forward + backward) / 2)


def ratings(first: np.ndarray, second: np.ndarray, chance: np.ndarray, count: int) -> np.ndarray:
    """Maximum-likelihood ratings, [count], of mean CENTRE.

    Args:
        first, second: indices of each pair's two, int [pairs].
        chance: that the first is chosen, 0 to 1, [pairs].
        count: number of rated things; pairs must connect all of them.
    """
    strength = np.zeros(count)
    for _ in range(_STEPS):
        expected = _logistic(strength[first] - strength[second])
        gradient, weight = chance - expected, expected * (1 - expected)
        slope, curve = np.zeros(count), np.zeros((count, count))
        np.add.at(slope, first, gradient)
        np.add.at(slope, second, -gradient)
        np.add.at(curve, (first, first), weight)
        np.add.at(curve, (second, second), weight)
        np.add.at(curve, (first, second), -weight)
        np.add.at(curve, (second, first), -weight)
        # Ratings are free up to a constant: the constant term pins their mean.
        step = np.linalg.solve(curve + 1 / count + 1e-9 * np.eye(count), slope)
        strength = np.clip(strength + np.clip(step, -1, 1), -_LARGEST, _LARGEST)
        if np.abs(step).max() < 1e-9:
            break
    return CENTRE + SCALE / np.log(10) * (strength - strength.mean())


def rating_against(opponents: np.ndarray, chance: np.ndarray) -> float:
    """Maximum-likelihood rating of one against opponents whose ratings stand.

    Args:
        opponents: their ratings, [n].
        chance: that the one is chosen over each, [n].
    """
    low, high = opponents.min() - 10 * SCALE, opponents.max() + 10 * SCALE
    for _ in range(60):
        middle = (low + high) / 2
        expected = _logistic((middle - opponents) * np.log(10) / SCALE)
        low, high = (middle, high) if expected.sum() < chance.sum() else (low, middle)
    return float((low + high) / 2)


def _logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -_LARGEST, _LARGEST))))
