"""The contents of a concept: one float16 vector per site, named by their digest."""

import hashlib
from dataclasses import dataclass, field
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Vectors:
    """One vector per site; zero at sites that have none.

    Args:
        digest: SHA-256 (hexadecimal) of the canonical bytes: float16, little-endian.
        norms: length of each site's vector; 0 where there is none.
        array: [sites, hidden], of any number type that float16 fits into without loss.
    """

    digest: str
    norms: tuple[float, ...]
    array: np.ndarray = field(compare=False, repr=False)

    @classmethod
    def of(cls, array: np.ndarray) -> Self:
        """Of vectors [sites, hidden] that float16 holds exactly."""
        digest = hashlib.sha256(array.astype("<f2").tobytes()).hexdigest()
        norms = np.linalg.norm(array.astype(np.float64), axis=1)
        return cls(digest, tuple(norms.tolist()), array)

    def tobytes(self) -> bytes:
        """The canonical bytes."""
        return self.array.astype("<f2").tobytes()

    @property
    def sites(self) -> tuple[int, ...]:
        """Sites that have a vector, ascending."""
        return tuple(site for site, norm in enumerate(self.norms) if norm > 0)
