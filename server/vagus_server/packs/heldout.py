"""Measures how well vectors name the concept of a story whose topic they have never seen.

Topics are left out one at a time: stories of one topic share props and setting, so a split by
story would measure those. A story is scored by projection on unit vectors after the mean over
the training stories is taken away (without that, small models seem to read nothing).
"""

from collections.abc import Callable

import numpy as np

from vagus_server.packs.extract import concept_vectors, remove_components, unit


def held_out_ranks(
    means: np.ndarray,
    concept: np.ndarray,
    topic: np.ndarray,
    components: list[np.ndarray],
) -> np.ndarray:
    """Rank of every story's own concept, by vectors from the other topics.

    Args:
        means: story means, [stories, sites, hidden].
        concept: [stories], 0 .. concepts-1.
        topic: [stories], any integers.
        components: neutral components per site, to be projected out of the vectors.

    Returns:
        [stories, sites]; 0 is the best.
    """
    concepts = int(concept.max()) + 1

    def directions(train: np.ndarray) -> np.ndarray:
        vectors = concept_vectors(means[train], concept[train], concepts)
        return unit(remove_components(vectors, components))

    return _ranks(means, concept, topic, directions)


def random_direction_ranks(
    means: np.ndarray, concept: np.ndarray, topic: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The same measure for random unit vectors: a null for the reading itself."""
    shape = (int(concept.max()) + 1, *means.shape[1:])
    return _ranks(means, concept, topic, lambda _train: unit(rng.standard_normal(shape)))


def shuffled(concept: np.ndarray, topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Concept labels permuted within each topic: a null for the whole procedure."""
    labels = concept.copy()
    for group in np.unique(topic):
        labels[topic == group] = rng.permutation(labels[topic == group])
    return labels


def _ranks(
    means: np.ndarray,
    concept: np.ndarray,
    topic: np.ndarray,
    directions: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    ranks = np.empty(means.shape[:2], dtype=np.int64)
    for left_out in np.unique(topic):
        test = np.flatnonzero(topic == left_out)
        train = topic != left_out
        units = directions(train)
        centred = means[test] - means[train].mean(axis=0, dtype=np.float64)
        scores = np.einsum("nsh,csh->nsc", centred, units, optimize=True)
        own = np.take_along_axis(scores, concept[test][:, None, None], axis=2)
        ranks[test] = (scores > own).sum(axis=2)
    return ranks


def accuracy(ranks: np.ndarray, top: int) -> np.ndarray:
    """Share of stories whose concept is among the best `top`, over the first axis."""
    return np.asarray((ranks < top).mean(axis=0))


def bootstrap(
    ranks: np.ndarray, topic: np.ndarray, top: int, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """95 % interval of the accuracy at one site; topics are drawn, with all their stories.

    Args:
        ranks: [stories], at one site.
    """
    groups = [ranks[topic == group] < top for group in np.unique(topic)]
    hits = np.array([group.sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(0, len(groups), size=(draws, len(groups)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def nested_accuracy(
    means: np.ndarray,
    concept: np.ndarray,
    topic: np.ndarray,
    components: list[np.ndarray],
    top: int,
) -> float:
    """Accuracy where the site, too, is chosen without the topic that is measured.

    The best site of a sweep is a little flattered by the choice; this is not.
    """
    full = held_out_ranks(means, concept, topic, components)
    hits = []
    for left_out in np.unique(topic):
        rest = topic != left_out
        inner = held_out_ranks(means[rest], concept[rest], topic[rest], components)
        site = int(accuracy(inner, 1).argmax())
        hits.append(full[~rest, site] < top)
    return float(np.concatenate(hits).mean())
