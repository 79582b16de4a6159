"""Turns a request's order into flags per row."""

import numpy as np

from vagus_kernels.layout import READ_FLAG
from vagus_server.plugin.wire import NO_END, Order, Range


class OrderFlags:
    """The row flags of one request, as a function of position.

    Past the last bound of any range the flags are constant; nearly every decoded token is
    there, so that case is a single comparison.
    """

    def __init__(self, order: Order) -> None:
        self._ranges: list[tuple[Range, int]] = []
        for p, operation in enumerate(order.operations):
            self._ranges += [(r, 1 << p) for r in operation.scope]
        self._ranges += [(r, READ_FLAG) for r in order.read]
        if order.monitor:
            self._ranges.append(((order.reply_start, NO_END), READ_FLAG))
        bounds = [b for r, _ in self._ranges for b in r if b != NO_END]
        self._steady_from = max(bounds, default=0)
        self._steady = 0
        for (start, end), bit in self._ranges:
            if end == NO_END and start <= self._steady_from:
                self._steady |= bit

    def at(self, start: int, tokens: int) -> np.ndarray:
        """Flags of the positions [start, start + tokens), int32 [tokens]."""
        flags = np.zeros(tokens, dtype=np.int32)
        if start >= self._steady_from:
            flags[:] = self._steady
            return flags
        for (first, end), bit in self._ranges:
            a, b = max(first - start, 0), min(end - start, tokens)
            if a < b:
                flags[a:b] |= bit
        return flags
