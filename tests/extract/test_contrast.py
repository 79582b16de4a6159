"""Concepts as the difference between two kinds of text."""

import json
import re

import numpy as np

from vagus_server.extract.contrast import FOLDS, Means, held_out_sides
from vagus_server.extract.contrast_quality import assess, facts_at, nested_shares
from vagus_server.extract.vectors import remove_components, unit

SITES, HIDDEN = 3, 17
NONE = [np.empty((0, HIDDEN))] * SITES
ALL = np.ones(FOLDS, dtype=bool)


def two_kinds(shift: list[float], seed: int = 0, texts: tuple[int, int] = (40, 31)) -> Means:
    """Noise of deviation 1, the kinds moved apart by `shift` at each site; rows are mixed."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(sum(texts))
    positive, negative = rows[: texts[0]], rows[texts[0] :]
    means = rng.standard_normal((len(rows), len(shift), HIDDEN))
    means[positive, :, 3] += np.array(shift)
    return Means(means.astype(np.float32), positive, negative)


def shares(means: Means, components: list[np.ndarray] = NONE) -> np.ndarray:
    """Of the true labelling, [sites]."""
    return held_out_sides(means, components).share(ALL)[0]


def test_the_vector_is_the_difference_of_the_means() -> None:
    # More texts than a block.
    means = two_kinds([1.0, 2.0, 3.0], texts=(300, 31))
    loop = sum(means.texts[i].astype(float) for i in means.positive) / 300
    loop = loop - sum(means.texts[i].astype(float) for i in means.negative) / 31
    np.testing.assert_allclose(means.vector(), loop, atol=1e-12)


def test_sides_equal_the_loop_over_folds() -> None:
    means = two_kinds([0.0, 1.0, 2.0])
    components = [np.linalg.qr(np.random.default_rng(5).standard_normal((HIDDEN, 2)))[0].T] * SITES
    found = held_out_sides(means, components)
    kinds = [means.texts[rows].astype(float) for rows in (means.positive, means.negative)]
    for fold in range(FOLDS):
        train, test = [], []
        for kind in kinds:
            mine = np.arange(len(kind)) % FOLDS == fold
            train.append(kind[~mine].mean(axis=0))
            test.append(kind[mine])
        units = unit(remove_components((train[0] - train[1])[None], components)[0])
        for site in range(SITES):
            for k, sign in ((0, 1), (1, -1)):
                middle = (train[0][site] + train[1][site]) / 2
                right = sign * ((test[k][:, site] - middle) @ units[site]) > 0
                assert found.right[0, fold, k, site] == right.sum()
                assert found.texts[fold, k] == len(right)


def test_texts_fall_on_their_side_where_the_kinds_differ() -> None:
    sides = shares(two_kinds([0.0, 8.0, 2.0]))
    assert sides.shape == (SITES,)
    assert sides[1] > 0.97
    assert sides[2] > 0.6
    # Nothing to find: an honest measure stays near one half.
    flat = [shares(two_kinds([0.0] * 3, seed)).mean() for seed in range(20)]
    assert abs(np.mean(flat) - 0.5) < 0.06


def test_the_best_site_is_read() -> None:
    quality = assess([two_kinds([0.0, 8.0, 2.0]), two_kinds([0.0, 6.0, 0.0], 1)], NONE, 0)
    assert quality.readout_site == 1
    for fact in ("contrasts_side", "contrasts_side_site_chosen_without_the_fold"):
        told = json.loads(quality.facts[fact])
        assert len(told) == 2
        assert min(told) > 0.9


def test_the_choice_of_a_site_among_many_does_not_flatter_the_nested_figure() -> None:
    sites, chosen, nested = 30, [], []
    nothing = [np.empty((0, HIDDEN))] * sites
    for seed in range(30):
        sides = held_out_sides(two_kinds([0.0] * sites, seed, (12, 12)), nothing)
        chosen.append(sides.share(ALL)[0].max())
        nested.append(nested_shares([sides])[0])
    assert np.mean(chosen) > 0.6
    assert abs(np.mean(nested) - 0.5) < 0.07


def test_shuffled_kinds_tell_what_the_choice_alone_brings() -> None:
    sites = 30
    nothing = [np.empty((0, HIDDEN))] * sites
    contrast = two_kinds([0.0] * 29 + [9.0], texts=(12, 12))
    quality = assess([contrast], nothing, 0)
    assert quality.readout_site == 29
    assert json.loads(quality.facts["contrasts_side"])[0] > 0.95
    assert 0.6 < null_mean(quality.facts) < 0.85
    # Where other texts have chosen the site, there is no choice to be flattered by.
    facts = facts_at([contrast], nothing, 29, 0)
    assert abs(null_mean(facts) - 0.5) < 0.12
    assert "contrasts_side_site_chosen_without_the_fold" not in facts


def null_mean(facts: dict[str, str]) -> float:
    found = re.match(r"mean ([\d.]+), greatest [\d.]+ of 20", facts["null_contrasts_side_shuffled"])
    assert found is not None
    return float(found[1])


def test_a_removed_component_cannot_be_read() -> None:
    only = np.eye(HIDDEN)[3:4]
    assert (shares(two_kinds([0.0, 8.0, 2.0]), [only] * SITES) < 0.75).all()
