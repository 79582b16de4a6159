"""Means, covariances and norms of the residual stream, gathered without keeping tokens.

All that the recipe asks of token-level traffic follows from these: the principal components
of the neutral texts, and the mean and deviation of a projection on any unit vector.
"""

from typing import Self

import numpy as np
import torch


class Moments:
    """First and second moments per site, in float64.

    Args:
        sites: number of sites.
        hidden: width of the residual stream.
    """

    def __init__(self, sites: int, hidden: int) -> None:
        self.count = 0
        self._sum = np.zeros((sites, hidden))
        self._products = np.zeros((sites, hidden, hidden))
        self._norms = np.zeros(sites)

    def add(self, residuals: torch.Tensor) -> None:
        """Adds tokens, [sites, tokens, hidden]."""
        x = residuals.double()
        self.count += x.shape[1]
        self._sum += x.sum(dim=1).numpy()
        self._products += (x.transpose(1, 2) @ x).numpy()
        self._norms += x.norm(dim=2).sum(dim=1).numpy()

    def __add__(self, other: Self) -> "Moments":
        """The moments of both sets of tokens together."""
        total = Moments(*self._sum.shape)
        total.count = self.count + other.count
        total._sum = self._sum + other._sum
        total._products = self._products + other._products
        total._norms = self._norms + other._norms
        return total

    @property
    def mean(self) -> np.ndarray:
        """[sites, hidden]."""
        return self._sum / self.count

    @property
    def covariance(self) -> np.ndarray:
        """[sites, hidden, hidden], divided by the number of tokens."""
        mean = self.mean
        return self._products / self.count - mean[:, :, None] * mean[:, None, :]

    @property
    def mean_norm(self) -> np.ndarray:
        """Mean |x| over tokens, [sites]."""
        return self._norms / self.count

    def projection(self, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of <x, unit>.

        Args:
            units: unit vectors, [concepts, sites, hidden].

        Returns:
            Two float64 arrays [concepts, sites].
        """
        mean = np.einsum("csh,sh->cs", units, self.mean)
        variance = np.einsum("csh,shk,csk->cs", units, self.covariance, units, optimize=True)
        return mean, np.sqrt(np.maximum(variance, 0.0))
