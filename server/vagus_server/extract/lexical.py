"""What word counts alone make of the stories: the figure that a readout has to be compared with.

Emotions in prose come with their own words (hearts pound, cheeks burn), also when they are not
named, so a story's words give much away without any model.
"""

import math
import re
from collections import Counter

import numpy as np

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
    bags = [Counter(w[:_STEM] for w in re.findall(r"[a-z']+", text.lower())) for text in texts]
    ranks = np.empty(len(texts), dtype=np.int64)
    for left_out in np.unique(topic):
        train, test = topic != left_out, topic == left_out
        seen = Counter(word for i in np.flatnonzero(train) for word in bags[i])
        # A word of one story only can say nothing about another.
        idf = {word: math.log(train.sum() / n) for word, n in seen.items() if n > 1}
        rows = np.array([_tf_idf(bag, idf) for bag in bags])
        centroids = np.stack(
            [rows[train & (concept == c)].mean(axis=0) for c in range(int(concept.max()) + 1)]
        )
        centroids -= centroids.mean(axis=0)
        centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
        scores = rows[test] @ centroids.T
        own = np.take_along_axis(scores, concept[test][:, None], axis=1)
        ranks[test] = (scores > own).sum(axis=1)
    return ranks


def _tf_idf(bag: Counter[str], idf: dict[str, float]) -> np.ndarray:
    row = np.array(
        [(1 + math.log(bag[w])) * weight if w in bag else 0.0 for w, weight in idf.items()]
    )
    return np.asarray(row / max(float(np.linalg.norm(row)), 1e-9))
