"""The recipe for concept vectors (paper, section 3). Arrays in, arrays out; no model here."""

import numpy as np

#: A story mean of every concept is what the next functions start from:
#: means [stories, sites, hidden], concept [stories] with values 0 .. concepts-1.


def concept_vectors(means: np.ndarray, concept: np.ndarray, concepts: int) -> np.ndarray:
    """Mean over each concept's stories, minus the mean of these means (step 3).

    Returns:
        float64 [concepts, sites, hidden].
    """
    if set(concept.tolist()) != set(range(concepts)):
        raise ValueError(f"each of the {concepts} concepts needs at least one story")
    by_concept = np.stack(
        [means[concept == c].mean(axis=0, dtype=np.float64) for c in range(concepts)]
    )
    return by_concept - by_concept.mean(axis=0)


def covariance_of(means: np.ndarray) -> np.ndarray:
    """Covariance over texts, float64 [sites, hidden, hidden], of [texts, sites, hidden]."""
    centred = means - means.mean(axis=0, dtype=np.float64)
    return np.einsum("nsh,nsk->shk", centred, centred, optimize=True) / len(means)


def neutral_components(covariance: np.ndarray, share: float) -> list[np.ndarray]:
    """The fewest principal components that explain `share` of the variance (step 4).

    Args:
        covariance: of neutral texts, [sites, hidden, hidden].
        share: 0 to 1; 0 gives no components.

    Returns:
        Per site, orthonormal rows [k, hidden].
    """
    components = []
    for matrix in covariance:
        values, vectors = np.linalg.eigh(matrix)
        values, vectors = values[::-1].clip(min=0.0), vectors[:, ::-1]
        explained = np.cumsum(values) / values.sum()
        count = 0 if share <= 0 else int(np.searchsorted(explained, share)) + 1
        components.append(np.ascontiguousarray(vectors[:, :count].T))
    return components


def remove_components(vectors: np.ndarray, components: list[np.ndarray]) -> np.ndarray:
    """Projects each site's components out of the vectors [..., sites, hidden]."""
    cleaned = np.array(vectors, dtype=np.float64)
    for site, rows in enumerate(components):
        cleaned[..., site, :] -= cleaned[..., site, :] @ rows.T @ rows
    return cleaned


def unit(vectors: np.ndarray) -> np.ndarray:
    """Directions of [..., hidden], length 1."""
    length: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if (length == 0).any():
        raise ValueError("a concept has no direction at some site")
    return np.asarray(vectors / length)
