"""Concepts as the difference between two kinds of text."""

import json

import numpy as np

from vagus_server.extract.contrast import Means, assess, held_out_sides

SITES, HIDDEN = 3, 17
NONE = [np.empty((0, HIDDEN))] * SITES


def two_kinds(shift: list[float], seed: int = 0) -> Means:
    """Noise of deviation 1, moved apart by `shift` at each site."""
    rng = np.random.default_rng(seed)
    positive, negative = rng.standard_normal((2, 40, SITES, HIDDEN))
    positive[:, :, 3] += np.array(shift)
    return Means(positive.astype(np.float32), negative[:31].astype(np.float32))


def test_the_vector_is_the_difference_of_the_means() -> None:
    means = two_kinds([1.0, 2.0, 3.0])
    loop = sum(x.astype(float) for x in means.positive) / 40
    loop = loop - sum(x.astype(float) for x in means.negative) / 31
    np.testing.assert_allclose(means.vector(), loop, atol=1e-12)


def test_texts_fall_on_their_side_where_the_kinds_differ() -> None:
    sides = held_out_sides(two_kinds([0.0, 8.0, 2.0]), NONE)
    assert sides.shape == (SITES,)
    assert sides[1] > 0.97
    assert sides[2] > 0.6
    # Nothing to find: an honest measure stays near one half.
    flat = [held_out_sides(two_kinds([0.0] * 3, seed), NONE).mean() for seed in range(20)]
    assert abs(np.mean(flat) - 0.5) < 0.06


def test_the_best_site_is_read() -> None:
    quality = assess([two_kinds([0.0, 8.0, 2.0]), two_kinds([0.0, 6.0, 0.0], 1)], NONE)
    assert quality.readout_site == 1
    assert len(json.loads(quality.facts["contrasts_side"])) == 2


def test_a_removed_component_cannot_be_read() -> None:
    only = np.eye(HIDDEN)[3:4]
    sides = held_out_sides(two_kinds([0.0, 8.0, 2.0]), [only] * SITES)
    assert (sides < 0.75).all()
