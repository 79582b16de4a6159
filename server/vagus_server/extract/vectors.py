"""The recipe for concept vectors (paper, section 3). Arrays in, arrays out; no model here."""

import numpy as np

_BLOCK = 128


def concept_vectors(means: np.ndarray, concept: np.ndarray, concepts: int) -> np.ndarray:
    """Mean over each concept's stories, minus the mean of these means (step 3).

    Args:
        means: story means, [stories, sites, hidden]; an array, or one on disk.
        concept: [stories], 0 .. concepts-1.
        concepts: their number.

    Returns:
        float64 [concepts, sites, hidden].

    Raises:
        ValueError: a concept has no story.
    """
    by_concept = concept_means(means, concept, concepts)
    return by_concept - by_concept.mean(axis=0)


def concept_means(means: np.ndarray, concept: np.ndarray, concepts: int) -> np.ndarray:
    """Mean over each concept's stories, float64 [concepts, sites, hidden]."""
    counts = np.bincount(concept, minlength=concepts)
    if (counts == 0).any() or len(counts) > concepts:
        raise ValueError(f"each of the {concepts} concepts needs at least one story")
    sums = np.zeros((concepts, *means.shape[1:]))
    # By blocks: the means of a large corpus do not fit into memory.
    for start in range(0, len(concept), _BLOCK):
        end = start + _BLOCK
        np.add.at(sums, concept[start:end], means[start:end].astype(np.float64))
    return sums / counts[:, None, None]


def neutral_components(means: np.ndarray, share: float) -> list[np.ndarray]:
    """The fewest principal components that explain `share` of the variance (step 4).

    Args:
        means: of neutral texts, [texts, sites, hidden]; an array, or one on disk.
        share: 0 to 1; 0 gives no components.

    Returns:
        Per site, orthonormal rows [k, hidden].
    """
    components = []
    for site in range(means.shape[1]):
        x = means[:, site].astype(np.float64)
        _, values, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
        explained = np.cumsum(values**2) / (values**2).sum()
        count = 0 if share <= 0 else int(np.searchsorted(explained, share)) + 1
        components.append(np.ascontiguousarray(rows[:count]))
    return components


def with_difference(
    components: list[np.ndarray], means: np.ndarray, group: np.ndarray
) -> list[np.ndarray]:
    """The components, and the direction between the means of two groups of texts.

    For a property of the texts that a concept's stories share though it is none of the concept,
    as where all of them are told in the first person.

    Args:
        components: per site, orthonormal rows [k, hidden].
        means: [texts, sites, hidden]; an array, or one on disk.
        group: [texts], boolean.

    Returns:
        Per site, orthonormal rows [k + 1, hidden]; [k, hidden] where the groups do not differ.
    """
    other, one = concept_means(means, group.astype(np.int64), 2)
    difference = remove_components(one - other, components)
    length = np.linalg.norm(difference, axis=-1)
    return [
        np.concatenate([rows, (difference[site] / length[site])[None]]) if length[site] else rows
        for site, rows in enumerate(components)
    ]


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
