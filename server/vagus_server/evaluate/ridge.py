"""Cross-validated ridge regression with the penalty chosen inside, by kernels: rows are few."""

import numpy as np

#: Relative to the mean eigenvalue of the training kernel.
PENALTIES = np.logspace(-3, 2, 11)
_OUTER, _INNER = 10, 5


def predictions(rows: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What each row is given by a model that has not seen it.

    Args:
        rows: [n, features].
        target: [n].
        rng: draws the folds.

    Returns:
        [n].
    """
    kernel = rows @ rows.T
    fold = rng.permutation(len(target)) % _OUTER
    found = np.empty(len(target))
    for k in np.unique(fold):
        test, train = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        inner = rng.permutation(len(train)) % _INNER
        errors = np.zeros(len(PENALTIES))
        for j in np.unique(inner):
            held, rest = train[inner == j], train[inner != j]
            given = _predict(kernel, target, rest, held)
            errors += ((given - target[held]) ** 2).sum(axis=1)
        best = int(errors.argmin())
        found[test] = _predict(kernel, target, train, test)[best]
    return found


def _predict(
    kernel: np.ndarray, target: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Predictions with every penalty, [penalties, test]; features centred on the training rows."""
    inside = kernel[np.ix_(train, train)]
    mean = inside.mean(axis=0)
    across = kernel[np.ix_(test, train)]
    across = across - across.mean(axis=1, keepdims=True) - mean + inside.mean()
    inside = inside - mean - mean[:, None] + inside.mean()
    values, axes = np.linalg.eigh(inside)
    values = np.maximum(values, 0)
    offset = target[train].mean()
    along = axes.T @ (target[train] - offset)
    penalties = PENALTIES[:, None] * values.mean()
    return np.asarray((along / (values + penalties)) @ (across @ axes).T + offset)
