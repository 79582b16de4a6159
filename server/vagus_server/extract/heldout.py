"""Measures how well vectors name the concept of a story whose topic they have never seen.

Topics are left out one at a time: stories of one topic share props and setting, so a split by
story would measure those. A story is scored by projection on unit vectors after the mean over
the training stories is taken away (without that, small models seem to read nothing).

Everything goes site by site and topic by topic, in blocks of stories: a topic's sums are taken
from those of all. Of a story nothing but its ranks is held, of a topic nothing.
"""

from collections.abc import Callable, Iterator

import numpy as np

from vagus_server.extract.vectors import remove_components, unit

#: Story means [stories, sites, hidden]: an array, or one on disk.
Means = np.ndarray
#: Gives unit directions [concepts, hidden] at a site from sums [concepts, hidden] and counts.
_Directions = Callable[[int, np.ndarray, np.ndarray], np.ndarray]
_BLOCK = 1024


def held_out_ranks(
    means: Means,
    concept: np.ndarray,
    topic: np.ndarray,
    components: list[np.ndarray],
    sites: list[int] | None = None,
) -> np.ndarray:
    """Rank of every story's own concept, by vectors from the other topics.

    Args:
        means: story means, [stories, sites, hidden].
        concept: [stories], 0 .. concepts-1.
        topic: [stories], any integers.
        components: neutral components of every site, to be projected out of the vectors.
        sites: those that are measured; all if None.

    Returns:
        [stories, sites measured]; 0 is the best.

    Raises:
        ValueError: a concept has stories in fewer than two topics.
    """
    return _ranks(means, concept, topic, _trained(components), sites)


def held_out_scores(
    means: Means, concept: np.ndarray, topic: np.ndarray, components: list[np.ndarray], site: int
) -> np.ndarray:
    """Projections of every story on all concepts by vectors from the other topics, at a site.

    Returns:
        float64 [stories, concepts].
    """
    scores = np.empty((len(concept), int(concept.max()) + 1))
    for rows, found in _scores(means, concept, topic, _trained(components), site):
        scores[rows] = found
    return scores


def _trained(components: list[np.ndarray]) -> _Directions:
    """Directions as the recipe makes them."""

    def directions(site: int, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        if (counts == 0).any():
            raise ValueError("every concept needs stories in at least two topics")
        vectors = sums / counts[:, None]
        vectors = vectors - vectors.mean(axis=0)
        return unit(remove_components(vectors[:, None], components[site : site + 1])[:, 0])

    return directions


def random_direction_ranks(
    means: Means,
    concept: np.ndarray,
    topic: np.ndarray,
    rng: np.random.Generator,
    sites: list[int] | None = None,
) -> np.ndarray:
    """The same measure for random unit vectors: a null for the reading itself."""

    def directions(_site: int, sums: np.ndarray, _counts: np.ndarray) -> np.ndarray:
        return unit(rng.standard_normal(sums.shape))

    return _ranks(means, concept, topic, directions, sites)


def shuffled(concept: np.ndarray, topic: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Concept labels permuted within each topic: a null for the whole procedure."""
    labels = concept.copy()
    for group in np.unique(topic):
        labels[topic == group] = rng.permutation(labels[topic == group])
    return labels


def _ranks(
    means: Means,
    concept: np.ndarray,
    topic: np.ndarray,
    directions: _Directions,
    sites: list[int] | None,
) -> np.ndarray:
    sites = list(range(means.shape[1])) if sites is None else sites
    ranks = np.empty((len(concept), len(sites)), dtype=np.int64)
    for column, site in enumerate(sites):
        for rows, scores in _scores(means, concept, topic, directions, site):
            ranks[rows, column] = ranks_of(scores, concept[rows])
    return ranks


def _scores(
    means: Means, concept: np.ndarray, topic: np.ndarray, directions: _Directions, site: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Projections on directions that are given all topics but a story's.

    Yields:
        Indices of some stories, [rows], and their projections, [rows, concepts].
    """
    concepts = int(concept.max()) + 1
    order = np.argsort(topic, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(topic[order])) + 1)
    all_sums, all_counts = np.zeros((concepts, means.shape[2])), np.zeros(concepts, dtype=np.int64)
    for group in groups:
        all_sums += _sums(means, concept, group, site, concepts)
        all_counts += np.bincount(concept[group], minlength=concepts)
    for group in groups:
        train = all_sums - _sums(means, concept, group, site, concepts)
        number = all_counts - np.bincount(concept[group], minlength=concepts)
        units = directions(site, train, number)
        centre = train.sum(axis=0) / number.sum()
        for rows in _blocks(group):
            yield rows, (means[rows, site].astype(np.float64) - centre) @ units.T


def _sums(
    means: Means, concept: np.ndarray, rows: np.ndarray, site: int, concepts: int
) -> np.ndarray:
    """Sums of some stories' means by concept, float64 [concepts, hidden]."""
    sums = np.zeros((concepts, means.shape[2]))
    for block in _blocks(rows):
        np.add.at(sums, concept[block], means[block, site].astype(np.float64))
    return sums


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + _BLOCK] for start in range(0, len(rows), _BLOCK))


def ranks_of(scores: np.ndarray, concept: np.ndarray) -> np.ndarray:
    """How many of a row's scores [rows, concepts] exceed that of its own concept, [rows]."""
    own = np.take_along_axis(scores, concept[:, None], axis=1)
    return np.asarray((scores > own).sum(axis=1))


def accuracy(ranks: np.ndarray, top: int) -> np.ndarray:
    """Share of stories whose concept is among the best `top`, over the first axis."""
    return np.asarray((ranks < top).mean(axis=0))


def bootstrap(
    ranks: np.ndarray, topic: np.ndarray, top: int, rng: np.random.Generator, draws: int = 2000
) -> tuple[float, float]:
    """95 % interval of the accuracy at one site; topics are drawn, with all their stories.

    Args:
        ranks: [stories], at one site.
        topic: [stories].
        top: how good a rank counts as right.
        rng: draws the topics.
        draws: number of resamples.
    """
    groups = [ranks[topic == group] < top for group in np.unique(topic)]
    hits = np.array([group.sum() for group in groups])
    sizes = np.array([len(group) for group in groups])
    drawn = rng.integers(0, len(groups), size=(draws, len(groups)))
    shares = hits[drawn].sum(axis=1) / sizes[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


def nested_accuracy(ranks: np.ndarray, topic: np.ndarray, top: int) -> float:
    """Accuracy where the site is chosen, for each topic, by the figures of the other topics.

    The best site of a sweep is a little flattered by the choice; this is less so. The other
    topics' figures come from vectors that have seen the topic, which says nothing of the site.

    Args:
        ranks: [stories, sites], held out.
        topic: [stories].
        top: how good a rank counts as right.
    """
    hits = []
    for group in np.unique(topic):
        site = int(accuracy(ranks[topic != group], 1).argmax())
        hits.append(ranks[topic == group, site] < top)
    return float(np.concatenate(hits).mean())
