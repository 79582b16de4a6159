"""Vectors from halves of the topics: what of them is more than the stories they came from."""

from dataclasses import dataclass

import numpy as np

from vagus_server.extract.vectors import remove_components


@dataclass(frozen=True)
class Halves:
    """Both halves of a number of splits, each [splits, concepts, hidden]."""

    first: np.ndarray
    second: np.ndarray

    def cosines(self) -> np.ndarray:
        """Cosine of each concept's two vectors, [splits, concepts]."""
        lengths = np.linalg.norm(self.first, axis=2) * np.linalg.norm(self.second, axis=2)
        return np.asarray((self.first * self.second).sum(axis=2) / lengths)


def split(
    means: np.ndarray,
    concept: np.ndarray,
    topic: np.ndarray,
    site: int,
    components: list[np.ndarray],
    rng: np.random.Generator,
    splits: int,
) -> Halves:
    """Draws halves of the topics and applies the recipe to each.

    Args:
        means: story means, [stories, sites, hidden].
        concept: [stories].
        topic: [stories].
        site: where.
        components: neutral components of every site.
        rng: draws the halves.
        splits: how many.
    """
    sums, counts = topic_sums(means, concept, topic, site)
    pairs = []
    for _ in range(splits):
        order = rng.permutation(len(sums))
        middle = len(order) // 2
        both = order[:middle], order[middle:]
        pairs.append([_vectors(sums[half], counts[half], components[site]) for half in both])
    return Halves(*(np.stack([pair[i] for pair in pairs]) for i in (0, 1)))


def topic_sums(
    means: np.ndarray, concept: np.ndarray, topic: np.ndarray, site: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums [topics, concepts, hidden] and counts [topics, concepts] at a site."""
    topics, fold = np.unique(topic, return_inverse=True)
    concepts = int(concept.max()) + 1
    cell = fold * concepts + concept
    sums = np.zeros((len(topics) * concepts, means.shape[2]))
    np.add.at(sums, cell, means[:, site].astype(np.float64))
    counts = np.bincount(cell, minlength=len(sums))
    shape = len(topics), concepts
    return sums.reshape(*shape, -1), counts.reshape(shape)


def _vectors(sums: np.ndarray, counts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    number = counts.sum(axis=0)
    if (number == 0).any():
        raise ValueError("every concept needs stories in both halves of the topics")
    means = sums.sum(axis=0) / number[:, None]
    vectors = means - means.mean(axis=0)
    return np.asarray(remove_components(vectors[:, None], [rows])[:, 0])
