"""What word counts alone make of the stories: the figure that a readout has to be compared with.

Emotions in prose come with their own words (hearts pound, cheeks burn), also when they are not
named, so a story's words give much away without any model.
"""

import re
from collections import Counter

import numpy as np

from vagus_server.extract.heldout import ranks_of

#: A crude stem, enough to join "shake" with "shakes" and "shaking" with "shakily".
_STEM = 6


def word_ranks(texts: list[str], concept: np.ndarray, topic: np.ndarray) -> np.ndarray:
    """Rank of every text's own concept by nearest tf-idf centroid, topics left out in turn.

    Args:
        texts: [stories].
        concept: [stories], 0 .. concepts-1.
        topic: [stories].

    Returns:
        [stories]; 0 is the best.
    """
    counts = _log_counts(texts)
    ranks = np.empty(len(texts), dtype=np.int64)
    for left_out in np.unique(topic):
        test = topic == left_out
        ranks[test] = _ranks(counts, concept, ~test, test)
    return ranks


def word_ranks_of_others(
    texts: list[str], concept: np.ndarray, others: list[str], other_concept: np.ndarray
) -> np.ndarray:
    """The same for texts that are none of those which the centroids come from, [others]."""
    train = np.arange(len(texts) + len(others)) < len(texts)
    labels = np.concatenate([concept, other_concept])
    return _ranks(_log_counts(texts + others), labels, train, ~train)


def word_centroids(texts: list[str], concept: np.ndarray) -> np.ndarray:
    """What the words of each concept's stories are: mean tf-idf, float64 [concepts, words]."""
    counts = _log_counts(texts)
    rows = counts * np.log(len(texts) / (counts > 0).sum(axis=0)).astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    member = np.zeros((int(concept.max()) + 1, len(texts)), dtype=np.float32)
    member[concept, np.arange(len(texts))] = 1
    return np.asarray(member @ rows / member.sum(axis=1, keepdims=True), dtype=np.float64)


def _log_counts(texts: list[str]) -> np.ndarray:
    """1 + log of how often a text has a word, else 0, float32 [texts, words]."""
    bags = [Counter(w[:_STEM] for w in re.findall(r"[a-z']+", text.lower())) for text in texts]
    having = Counter(word for bag in bags for word in bag)
    # A word of one text only can say nothing about another.
    column = {word: i for i, word in enumerate(w for w, n in having.items() if n > 1)}
    counts = np.zeros((len(texts), len(column)), dtype=np.float32)
    for row, bag in enumerate(bags):
        for word, number in bag.items():
            if word in column:
                counts[row, column[word]] = 1 + np.log(number)
    return counts


def _ranks(
    counts: np.ndarray, concept: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Ranks of the texts of the mask `test`, by centroids of those of the mask `train`."""
    having = (counts[train] > 0).sum(axis=0)
    words = having > 1
    rows = counts[:, words] * np.log(train.sum() / having[words]).astype(np.float32)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    labels = concept[train]
    member = np.zeros((int(concept.max()) + 1, len(labels)), dtype=np.float32)
    member[labels, np.arange(len(labels))] = 1
    centroids = member @ rows[train] / member.sum(axis=1, keepdims=True)
    centroids -= centroids.mean(axis=0)
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return ranks_of(rows[test] @ centroids.T, concept[test])
