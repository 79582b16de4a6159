"""The held-out figures of contrasts on a model, and the readout site that they choose."""

import json

import numpy as np

from vagus_server.extract.contrast import FOLDS, Means, Sides, held_out_sides
from vagus_server.extract.quality import Quality, best_site

_NULLS = 20
_ALL = np.ones(FOLDS, dtype=bool)


def assess(contrasts: list[Means], components: list[np.ndarray], seed: int) -> Quality:
    """Chooses the readout site by how often held-out texts fall on their side.

    There is no ranking among concepts, so top-1 and top-5 are empty.

    Args:
        contrasts: one or more.
        components: the neutral components that the recipe removes.
        seed: of the null.
    """
    sides = _sides(contrasts, components, seed)
    site = _best(sides, 0, _ALL)
    # A shuffled labelling chooses its site as the true one does.
    null = [_mean(sides, i)[_best(sides, i, _ALL)] for i in range(1, _NULLS + 1)]
    found = _facts(sides, site, null, "chosen anew each time")
    found["contrasts_side_site_chosen_without_the_fold"] = _table(nested_shares(sides))
    return Quality(site, np.zeros(0), np.zeros(0), found)


def facts_at(
    contrasts: list[Means], components: list[np.ndarray], site: int, seed: int
) -> dict[str, str]:
    """What the manifest tells of contrasts whose site other texts have chosen."""
    sides = _sides(contrasts, components, seed)
    null = [_mean(sides, i)[site] for i in range(1, _NULLS + 1)]
    return _facts(sides, site, null, "the same")


def nested_shares(sides: list[Sides]) -> np.ndarray:
    """Share of each contrast's texts on their side, the site chosen without their fold.

    The best site of a sweep is flattered by the choice; this is less so. The other folds' figures
    come from vectors that have seen the fold, which says nothing of the site.

    Args:
        sides: of each contrast, by the true labelling.
    """
    right = np.zeros((len(sides), 2))
    for fold in range(FOLDS):
        site = _best(sides, 0, np.arange(FOLDS) != fold)
        right += [one.right[0, fold, :, site] for one in sides]
    return np.asarray((right / [one.texts.sum(axis=0) for one in sides]).mean(axis=1))


def _sides(contrasts: list[Means], components: list[np.ndarray], seed: int) -> list[Sides]:
    rng = np.random.default_rng(seed)
    return [held_out_sides(one, components, rng, _NULLS) for one in contrasts]


def _mean(sides: list[Sides], labelling: int, folds: np.ndarray = _ALL) -> np.ndarray:
    """Mean share over contrasts, [sites]."""
    return np.asarray(np.mean([one.share(folds)[labelling] for one in sides], axis=0))


def _best(sides: list[Sides], labelling: int, folds: np.ndarray) -> int:
    return best_site(_mean(sides, labelling, folds))


def _facts(sides: list[Sides], site: int, null: list[float], null_site: str) -> dict[str, str]:
    own = np.array([one.share(_ALL)[0, site] for one in sides])
    return {
        "contrasts_method": (
            f"side of held-out texts, {FOLDS} folds; chance 0.5 at a site chosen beforehand"
        ),
        "contrasts_side_by_site": _table(_mean(sides, 0)),
        "contrasts_side": _table(own),
        "null_contrasts_side_shuffled": (
            f"mean {np.mean(null):.3f}, greatest {max(null):.3f} of {_NULLS}; mean over contrasts, "
            f"site {null_site}"
        ),
    }


def _table(shares: np.ndarray) -> str:
    return json.dumps([round(float(share), 3) for share in shares])
