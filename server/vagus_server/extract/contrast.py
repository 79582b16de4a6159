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

    There is no ranking among concepts, so top-1 and top-5 are empty.
    """
    shares = np.array([held_out_sides(one, components) for one in contrasts])
    by_site = shares.mean(axis=0)
    site = best_site(by_site)
    return Quality(site, np.zeros(0), np.zeros(0), facts(shares, site))


def facts(shares: np.ndarray, site: int) -> dict[str, str]:
    """What the manifest tells of the shares [contrasts, sites] of texts on their side."""
    return {
        "contrasts_method": f"side of held-out texts, {_FOLDS} folds; chance 0.5",
        "contrasts_side_by_site": json.dumps([round(float(x), 3) for x in shares.mean(axis=0)]),
        "contrasts_side": json.dumps([round(float(x), 3) for x in shares[:, site]]),
    }


def held_out_sides(means: Means, components: list[np.ndarray]) -> np.ndarray:
    """Share of held-out texts on their side, mean over both kinds, [sites].

    A text's side is that of its projection, counted from the midpoint between the two kinds'
    training means.
    """
    sites = range(means.positive.shape[1])
    return np.array([_sides(means, components[site], site) for site in sites])


def _sides(means: Means, rows: np.ndarray, site: int) -> float:
    # Site by site: the means of many texts do not fit into memory.
    kinds = [kind[:, site].astype(np.float64) for kind in (means.positive, means.negative)]
    folds = [np.arange(len(kind)) % _FOLDS for kind in kinds]
    right = [np.zeros(len(kind), dtype=bool) for kind in kinds]
    for fold in range(_FOLDS):
        train = [kind[mine != fold].mean(axis=0) for kind, mine in zip(kinds, folds, strict=True)]
        direction = unit(remove_components((train[0] - train[1])[None], [rows])[0])
        middle = (train[0] + train[1]) / 2
        for k, sign in ((0, 1), (1, -1)):
            test = folds[k] == fold
            right[k][test] = sign * ((kinds[k][test] - middle) @ direction) > 0
    return float(np.mean([hits.mean() for hits in right]))
