"""What words alone tell of concepts."""

import numpy as np

from vagus_server.extract.lexical import word_centroids


def test_centroids_hold_what_a_concepts_stories_share() -> None:
    texts = ["the lamp shone", "the lamp glowed", "the door slammed", "the door shut"]
    centroids = word_centroids(texts, np.array([0, 0, 1, 1]))
    # "the" is in all texts and weighs nothing; words of one text only are left out.
    assert centroids.shape == (2, 3)
    assert (centroids[0] * centroids[1] == 0).all()
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1)
