"""Concepts that are the difference between two kinds of text."""

import json
from dataclasses import dataclass

import numpy as np

from vagus_server.extract.quality import Quality, best_site
from vagus_server.extract.vectors import remove_components, unit

_FOLDS = 5


@dataclass(frozen=True)
class Means:
    """Text means of both kinds, each [texts, sites, hidden]."""

    positive: np.ndarray
    negative: np.ndarray

    def vector(self) -> np.ndarray:
        """Mean of the positive texts minus that of the negative ones, float64 [sites, hidden]."""
        return np.asarray(
            self.positive.mean(axis=0, dtype=np.float64)
            - self.negative.mean(axis=0, dtype=np.float64)
        )


def assess(contrasts: list[Means], components: list[np.ndarray]) -> Quality:
    """Chooses the readout site by how often held-out texts fall on their side.

    A text's side is that of its projection, counted from the midpoint between the two kinds'
    training means. There is no ranking among concepts, so top-1 and top-5 are empty.
    """
    shares = np.array([held_out_sides(one, components) for one in contrasts])
    by_site = shares.mean(axis=0)
    site = best_site(by_site)
    facts = {
        "held_out_method": f"side of held-out texts, {_FOLDS} folds; chance 0.5",
        "held_out_side_by_site": json.dumps([round(float(x), 3) for x in by_site]),
        "held_out_side": json.dumps([round(float(x), 3) for x in shares[:, site]]),
    }
    return Quality(site, np.zeros(0), np.zeros(0), facts)


def held_out_sides(means: Means, components: list[np.ndarray]) -> np.ndarray:
    """Share of held-out texts on their side, mean over both kinds, [sites]."""
    kinds = [np.asarray(means.positive, np.float64), np.asarray(means.negative, np.float64)]
    folds = [np.arange(len(kind)) % _FOLDS for kind in kinds]
    right = [np.zeros((len(kind), kind.shape[1]), dtype=bool) for kind in kinds]
    for fold in range(_FOLDS):
        train = [kind[mine != fold].mean(axis=0) for kind, mine in zip(kinds, folds, strict=True)]
        direction = unit(remove_components(train[0] - train[1], components))
        middle = (train[0] + train[1]) / 2
        for k, sign in ((0, 1), (1, -1)):
            test = folds[k] == fold
            offset = kinds[k][test] - middle
            right[k][test] = sign * np.einsum("nsh,sh->ns", offset, direction) > 0
    return np.asarray(np.mean([rows.mean(axis=0) for rows in right], axis=0))
