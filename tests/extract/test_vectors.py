"""The recipe against plain float64 loops on small synthetic arrays."""

import tracemalloc

import numpy as np
import pytest

from vagus_server.extract.heldout import (
    accuracy,
    bootstrap,
    held_out_ranks,
    nested_accuracy,
    random_direction_ranks,
    shuffled,
)
from vagus_server.extract.lexical import word_ranks
from vagus_server.extract.vectors import (
    concept_vectors,
    neutral_components,
    remove_components,
    unit,
    with_difference,
)

CONCEPTS, TOPICS, SITES, HIDDEN = 5, 6, 3, 17


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def stories(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One story per concept and topic: a concept's direction, a topic's, and noise."""
    concept = np.tile(np.arange(CONCEPTS), TOPICS)
    topic = np.repeat(np.arange(TOPICS), CONCEPTS)
    means = (
        3 * rng.standard_normal((CONCEPTS, SITES, HIDDEN))[concept]
        + 3 * rng.standard_normal((TOPICS, SITES, HIDDEN))[topic]
        + rng.standard_normal((len(concept), SITES, HIDDEN))
    )
    return means.astype(np.float32), concept, topic


def test_concept_vectors_equal_the_loop(
    stories: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    means, concept, _ = stories
    vectors = concept_vectors(means, concept, CONCEPTS)
    for site in range(SITES):
        averages = []
        for c in range(CONCEPTS):
            own = [means[i, site].astype(float) for i in range(len(means)) if concept[i] == c]
            averages.append(sum(own) / len(own))
        grand = sum(averages) / CONCEPTS
        for c in range(CONCEPTS):
            np.testing.assert_allclose(vectors[c, site], averages[c] - grand, atol=1e-12)


def test_the_mean_is_of_concept_means_when_counts_differ() -> None:
    means = np.array([[[0.0]], [[0.0]], [[0.0]], [[8.0]]])
    vectors = concept_vectors(means, np.array([0, 0, 0, 1]), 2)
    assert vectors.ravel().tolist() == [-4.0, 4.0]


def test_a_concept_without_stories_is_refused() -> None:
    with pytest.raises(ValueError, match="each of the 3 concepts"):
        concept_vectors(np.ones((2, 1, 1)), np.array([0, 2]), 3)


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 1), (0.7, 2), (0.95, 3)])
def test_fewest_components_that_reach_the_share(share: float, count: int) -> None:
    # Axes with variances 6, 3, 0.9 and 0.1 of 10: each has one pair of texts, far and near.
    lengths = np.sqrt([0.9, 6.0, 0.1, 3.0])
    means = np.concatenate([np.diag(lengths), -np.diag(lengths)])[:, None]
    (rows,) = neutral_components(means, share)
    order = [1, 3, 0][:count]
    np.testing.assert_allclose(np.abs(rows), np.eye(4)[order].reshape(count, 4), atol=1e-12)


def test_removed_components_leave_nothing_along_them(rng: np.random.Generator) -> None:
    components = neutral_components(rng.standard_normal((40, SITES, HIDDEN)), 0.5)
    vectors = rng.standard_normal((CONCEPTS, SITES, HIDDEN))
    cleaned = remove_components(vectors, components)
    for site, rows in enumerate(components):
        assert len(rows) > 1
        np.testing.assert_allclose(cleaned[:, site] @ rows.T, 0, atol=1e-12)
        for c in range(CONCEPTS):
            expected = vectors[c, site] - sum(row * (row @ vectors[c, site]) for row in rows)
            np.testing.assert_allclose(cleaned[c, site], expected, atol=1e-12)


def test_the_difference_of_two_groups_is_removed_with_the_components(
    rng: np.random.Generator,
) -> None:
    components = neutral_components(rng.standard_normal((40, SITES, HIDDEN)), 0.5)
    concept = np.repeat(np.arange(6), 8)
    group = concept % 2 == 0  # of every concept, all texts are in one group
    means = rng.standard_normal((48, SITES, HIDDEN))
    means[group] += 5 * rng.standard_normal((SITES, HIDDEN))
    removed = with_difference(components, means, group)
    vectors = concept_vectors(means, concept, 6)
    cleaned = remove_components(vectors, removed)
    for site, rows in enumerate(removed):
        assert len(rows) == len(components[site]) + 1
        np.testing.assert_allclose(rows @ rows.T, np.eye(len(rows)), atol=1e-12)
        apart = cleaned[::2, site].mean(axis=0) - cleaned[1::2, site].mean(axis=0)
        np.testing.assert_allclose(apart, 0, atol=1e-12)
    before = remove_components(vectors, components)
    assert np.linalg.norm(before[::2].mean(axis=0) - before[1::2].mean(axis=0)) > 5


def test_groups_that_do_not_differ_add_nothing() -> None:
    components = [np.eye(4)[:1]]
    means = np.ones((4, 1, 4))
    (rows,) = with_difference(components, means, np.array([True, False, True, False]))
    np.testing.assert_array_equal(rows, components[0])


def test_a_zero_vector_has_no_direction() -> None:
    with pytest.raises(ValueError, match="no direction"):
        unit(np.zeros((1, 1, 4)))


def test_held_out_reading_finds_the_concept_and_the_nulls_do_not(
    stories: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    means, concept, topic = stories
    none = [np.empty((0, HIDDEN))] * SITES
    ranks = held_out_ranks(means, concept, topic, none)
    assert ranks.shape == (len(means), SITES)
    assert (accuracy(ranks, 1) > 0.7).all()
    assert (accuracy(ranks, CONCEPTS) == 1).all()
    assert nested_accuracy(ranks, topic, 1) > 0.7
    labels = [shuffled(concept, topic, rng) for _ in range(20)]
    null = [accuracy(held_out_ranks(means, one, topic, none), 1).mean() for one in labels]
    random = [
        accuracy(random_direction_ranks(means, concept, topic, rng), 1).mean() for _ in range(20)
    ]
    assert np.mean(null) < 0.35
    assert np.mean(random) < 0.35
    assert all((labels[0][topic == t] < CONCEPTS).all() for t in range(TOPICS))


def test_a_topic_that_is_left_out_does_not_teach(
    stories: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    means, concept, topic = stories
    none = [np.empty((0, HIDDEN))] * SITES
    before = held_out_ranks(means, concept, topic, none)
    changed = means.copy()
    changed[(topic == 0) & (concept == 0)] += 100
    after = held_out_ranks(changed, concept, topic, none)
    others = (topic == 0) & (concept != 0)
    assert (before[others] == after[others]).all()


def test_ranks_equal_the_loop_over_left_out_topics(
    stories: tuple[np.ndarray, np.ndarray, np.ndarray], rng: np.random.Generator
) -> None:
    means, concept, topic = stories
    components = neutral_components(rng.standard_normal((40, SITES, HIDDEN)), 0.3)
    ranks = held_out_ranks(means, concept, topic, components, sites=[2, 0])
    for i in range(len(means)):
        train = topic != topic[i]
        vectors = concept_vectors(means[train], concept[train], CONCEPTS)
        units = unit(remove_components(vectors, components))
        offset = means[i] - means[train].mean(axis=0, dtype=np.float64)
        for column, site in enumerate([2, 0]):
            scores = units[:, site] @ offset[site]
            assert ranks[i, column] == (scores > scores[concept[i]]).sum()


def test_memory_does_not_grow_with_topics_and_stories(rng: np.random.Generator) -> None:
    def peak(topics: int) -> int:
        concept = np.tile(np.arange(CONCEPTS), 4 * topics)
        topic = np.repeat(np.arange(topics), 4 * CONCEPTS)
        means = rng.standard_normal((len(concept), 1, HIDDEN)).astype(np.float32)
        tracemalloc.start()
        held_out_ranks(means, concept, topic, [np.empty((0, HIDDEN))])
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # A few integers for each story, in float64 its mean alone would take more.
    assert peak(400) - peak(100) < 300 * 4 * CONCEPTS * 4 * HIDDEN


def test_a_concept_of_one_topic_cannot_be_tested() -> None:
    means, concept = np.ones((4, 1, 3), dtype=np.float32), np.array([0, 1, 0, 0])
    with pytest.raises(ValueError, match="at least two topics"):
        held_out_ranks(means, concept, np.array([0, 0, 1, 1]), [np.empty((0, 3))])


def test_the_interval_holds_the_accuracy_and_repeats() -> None:
    topic = np.repeat(np.arange(10), 10)
    ranks = np.where(np.arange(100) % 4 == 0, 3, 0)
    low, high = bootstrap(ranks, topic, 1, np.random.default_rng(0))
    assert low <= 0.75 <= high
    assert (low, high) == bootstrap(ranks, topic, 1, np.random.default_rng(0))


def test_words_alone_read_words() -> None:
    texts = [f"{word} thing number{i}" for i in range(4) for word in ("apples", "pears")]
    ranks = word_ranks(texts, np.tile([0, 1], 4), np.repeat(np.arange(4), 2))
    assert ranks.tolist() == [0] * 8
