"""Smoothed readouts of requests with equal policies, against the policies' bounds."""

import numpy as np

from vagus_server.plugin.wire import OrderPolicy

_AFTER = 1


class Bounds:
    """Requests with the same policies, and where each stands. State is [requests, policies]."""

    def __init__(self, policies: tuple[OrderPolicy, ...]) -> None:
        def column(name: str) -> np.ndarray:
            return np.array([getattr(policy, name) for policy in policies])

        self._sites, self._concepts = column("site"), column("concept")
        self._means = column("mean")
        self._scales = column("sign") / column("deviation")
        self._begin, self._cease = column("begin"), column("cease")
        self._share, self._after = column("share"), column("after")
        self._free: list[int] = []
        self._tokens = np.zeros(0, dtype=np.int64)
        self._smoothed = np.zeros((0, len(policies)))
        self._acting = np.zeros((0, len(policies)), dtype=bool)

    def add(self) -> int:
        """Room for one more request; gives its index."""
        if not self._free:
            before = len(self._tokens)
            size = max(16, 2 * before)
            self._free = list(range(size - 1, before - 1, -1))
            self._tokens = np.resize(self._tokens, size)
            self._smoothed = np.resize(self._smoothed, (size, self._smoothed.shape[1]))
            self._acting = np.resize(self._acting, (size, self._acting.shape[1]))
        index = self._free.pop()
        self._tokens[index], self._smoothed[index], self._acting[index] = 0, 0.0, False
        return index

    def remove(self, index: int) -> None:
        """Forgets a request."""
        self._free.append(index)

    def see(
        self, who: np.ndarray, rows: np.ndarray, readouts: np.ndarray
    ) -> list[tuple[int, int, bool, float]]:
        """One token of each of some requests.

        Args:
            who: their indices here.
            rows: where their readouts lie.
            readouts: [rows, readout sites, concepts, 2].

        Returns:
            Of each crossing: which of `who`, which policy, whether it begins, the smoothed z.
        """
        z = readouts[rows[:, None], self._sites, self._concepts, _AFTER] - self._means
        z *= self._scales
        self._tokens[who] += 1
        tokens = self._tokens[who][:, None]
        before, acting = self._smoothed[who], self._acting[who]
        # A plain mean until it has as many tokens as the smoothing spans.
        smoothed = before + np.maximum(self._share, 1 / tokens) * (z - before)
        # What is not a number begins: a policy must not be blind where the model overflows.
        begins = ~acting & ~(smoothed < self._begin) & (tokens >= self._after)
        ceases = acting & (smoothed < self._cease)
        self._smoothed[who], self._acting[who] = smoothed, (acting | begins) & ~ceases
        return [
            (j, k, bool(begins[j, k]), float(smoothed[j, k]))
            for j, k in np.argwhere(begins | ceases).tolist()
        ]
