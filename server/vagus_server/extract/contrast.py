"""Concepts that are the difference between two kinds of text, and how well they tell these apart.

A fifth of the texts of each kind is left out at a time; a text's side is that of its projection
on the vector of the others, counted from the midpoint between their two means.
"""

from dataclasses import dataclass

import numpy as np

from vagus_server.extract.vectors import remove_components, unit

FOLDS = 5
_BLOCK = 128


@dataclass(frozen=True)
class Means:
    """Text means of both kinds.

    Args:
        texts: [all texts, sites, hidden]; an array, or one on disk.
        positive: int [n], rows of the positive texts.
        negative: int [m], likewise.
    """

    texts: np.ndarray
    positive: np.ndarray
    negative: np.ndarray

    def vector(self) -> np.ndarray:
        """Mean of the positive texts minus that of the negative ones, float64 [sites, hidden]."""
        return self._mean(self.positive) - self._mean(self.negative)

    def _mean(self, rows: np.ndarray) -> np.ndarray:
        total = np.zeros(self.texts.shape[1:])
        # By blocks: the means of many texts do not fit into memory.
        for start in range(0, len(rows), _BLOCK):
            total += self.texts[rows[start : start + _BLOCK]].sum(axis=0, dtype=np.float64)
        return total / len(rows)


@dataclass(frozen=True)
class Sides:
    """How many held-out texts fall on their side.

    Args:
        right: [labellings, folds, kinds, sites].
        texts: [folds, kinds], how many there are.
    """

    right: np.ndarray
    texts: np.ndarray

    def share(self, folds: np.ndarray) -> np.ndarray:
        """Mean over both kinds of the share in some folds (bool [folds]), [labellings, sites]."""
        shares = self.right[:, folds].sum(axis=1) / self.texts[folds].sum(axis=0)[:, None]
        return np.asarray(shares.mean(axis=1))


def held_out_sides(
    means: Means,
    components: list[np.ndarray],
    rng: np.random.Generator | None = None,
    shuffles: int = 0,
) -> Sides:
    """Leaves out each fold; of the true labelling, and of some in which the kinds are shuffled.

    Args:
        means: of the texts, at least FOLDS of each kind.
        components: per site, orthonormal rows that are projected out of the vectors.
        rng: shuffles.
        shuffles: further labellings, as many of each kind.
    """
    everything = np.concatenate([means.positive, means.negative])
    count = len(means.positive)
    orders = [np.arange(len(everything))]
    if rng is not None:
        orders += [rng.permutation(len(everything)) for _ in range(shuffles)]
    sites = means.texts.shape[1]
    right = np.empty((len(orders), FOLDS, 2, sites), dtype=np.int64)
    for site in range(sites):
        # Site by site: the means of many texts do not fit into memory.
        x = means.texts[everything, site].astype(np.float64)
        for i, order in enumerate(orders):
            kinds = x[order[:count]], x[order[count:]]
            right[i, :, :, site] = _right(kinds, components[site])
    texts = [[len(range(fold, n, FOLDS)) for n in (count, len(x) - count)] for fold in range(FOLDS)]
    return Sides(right, np.array(texts))


def _right(kinds: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Texts of both kinds, [texts, hidden], that fall on their side, int [folds, kinds]."""
    totals = [kind.sum(axis=0) for kind in kinds]
    counts = np.zeros((FOLDS, 2), dtype=np.int64)
    for fold in range(FOLDS):
        tests = [kind[fold::FOLDS] for kind in kinds]
        positive, negative = (
            (total - test.sum(axis=0)) / (len(kind) - len(test))
            for kind, test, total in zip(kinds, tests, totals, strict=True)
        )
        direction = unit(remove_components((positive - negative)[None], [rows])[0])
        middle = (positive + negative) / 2
        for k, sign in ((0, 1), (1, -1)):
            counts[fold, k] = (sign * ((tests[k] - middle) @ direction) > 0).sum()
    return counts
