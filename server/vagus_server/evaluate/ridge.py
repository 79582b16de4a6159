"""Cross-validated ridge regression by kernels: there are far fewer rows than features.

Each fold's penalty is chosen on its training rows alone, by leaving each of them out, which
needs no further fit: the residual without row i is the residual divided by 1 - H_ii.
"""

import numpy as np

#: Relative to the mean eigenvalue of the training rows' kernel.
PENALTIES = np.logspace(-3, 2, 11)
_FOLDS = 10


def predictions(rows: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What each row is given by a model that has not seen it.

    Args:
        rows: [n, features].
        targets: [n], or [n, several], each on its own.
        rng: draws the folds.

    Returns:
        In the shape of the targets.
    """
    kernel = rows @ rows.T
    columns = targets.reshape(len(targets), -1)
    fold = rng.permutation(len(columns)) % _FOLDS
    found = np.empty(columns.shape)
    for k in np.unique(fold):
        test, train = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        found[test] = _fold(kernel, columns[train], train, test)
    return found.reshape(targets.shape)


def _fold(kernel: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Predictions of the test rows, [test, targets]; features centred on the training rows."""
    inside = kernel[np.ix_(train, train)]
    mean = inside.mean(axis=0)
    across = kernel[np.ix_(test, train)]
    across = across - across.mean(axis=1, keepdims=True) - mean + inside.mean()
    values, axes = np.linalg.eigh(inside - mean - mean[:, None] + inside.mean())
    values = np.maximum(values, 0)
    offset = y.mean(axis=0)
    along = axes.T @ (y - offset)
    errors, given = [], []
    for penalty in PENALTIES * values.mean():
        shrunk = values / (values + penalty)
        leverage = 1 / len(train) + axes**2 @ shrunk
        residual = y - offset - axes @ (shrunk[:, None] * along)
        errors.append(((residual / (1 - leverage)[:, None]) ** 2).sum(axis=0))
        given.append(across @ axes @ (along / (values + penalty)[:, None]) + offset)
    best = np.argmin(errors, axis=0)
    return np.take_along_axis(np.stack(given), best[None, None, :], axis=0)[0]
