"""Ten clusters of concepts by k-means on directions, named by their most central concepts."""

from dataclasses import dataclass

import numpy as np

CLUSTERS = 10
_STARTS, _STEPS = 50, 100


@dataclass(frozen=True)
class Clusters:
    """A grouping of concepts.

    Args:
        label: cluster of each concept, [concepts].
        members: concepts of each cluster, the most central first.
    """

    label: np.ndarray
    members: list[list[str]]

    @property
    def titles(self) -> list[str]:
        """The two most central concepts of each."""
        return [", ".join(names[:2]) + f" ({len(names)})" for names in self.members]

    @property
    def order(self) -> np.ndarray:
        """Concepts, cluster by cluster."""
        return np.argsort(self.label, kind="stable")


def clusters(units: np.ndarray, names: list[str], rng: np.random.Generator) -> Clusters:
    """k-means with k = 10 (fewer concepts: fewer), ordered along the first component.

    Args:
        units: directions, [concepts, hidden].
        names: of the concepts.
        rng: draws the starts.
    """
    count = min(CLUSTERS, len(units))
    label, centres = kmeans(units, count, rng)
    centred = units - units.mean(axis=0)
    first = np.linalg.svd(centred, full_matrices=False)[2][0]
    order = np.argsort(centres @ first)
    label = np.argsort(order)[label]
    members = []
    for c in range(count):
        mine = np.flatnonzero(label == c)
        near = np.argsort(-(units[mine] @ centres[order[c]]), kind="stable")
        members.append([names[i] for i in mine[near]])
    return Clusters(label, members)


def kmeans(rows: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Lloyd's algorithm from k-means++ starts; the best of 50.

    Returns:
        Cluster of each row, and centres [count, hidden].
    """
    best = None
    for _ in range(_STARTS):
        centres = _start(rows, count, rng)
        for _ in range(_STEPS):
            label = _distances(rows, centres).argmin(axis=1)
            member = np.eye(count)[label]
            sizes = member.sum(axis=0)
            # A cluster that lost all its rows stays where it was.
            moved = np.where(
                sizes[:, None] > 0, member.T @ rows / np.maximum(sizes, 1)[:, None], centres
            )
            if np.allclose(moved, centres):
                break
            centres = moved
        distances = _distances(rows, centres)
        label, loss = distances.argmin(axis=1), float(distances.min(axis=1).sum())
        full = len(np.unique(label)) == count
        if full and (best is None or loss < best[0]):
            best = loss, label, centres
    if best is None:
        raise ValueError(f"the concepts do not fall into {count} clusters")
    return best[1], best[2]


def _start(rows: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(rows)))]
    while len(chosen) < count:
        nearest = _distances(rows, rows[chosen]).min(axis=1)
        chosen.append(int(rng.choice(len(rows), p=nearest / nearest.sum())))
    return rows[chosen]


def _distances(rows: np.ndarray, centres: np.ndarray) -> np.ndarray:
    squares = (rows**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * rows @ centres.T
    return np.asarray(np.maximum(squares, 0.0))
