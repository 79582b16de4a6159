"""Which tokens an operation acts on: rules of the request, as ranges of positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vagus_server.plugin.wire import NO_END, Range


@dataclass(frozen=True)
class PromptMap:
    """What scopes need to know of a prompt.

    Args:
        tokens: its length.
        spans: character span of each token in the text, or None where the prompt is no text.
        turns: (role, first character, end) of each message's content, or None where the prompt
            is no chat.
        characters: whether the text is the caller's own, so that its characters can be named.
    """

    tokens: int
    characters: bool = False
    spans: Callable[[], Sequence[tuple[int, int]] | None] = field(default=lambda: None)
    turns: Callable[[], Sequence[tuple[int, int, int]] | None] = field(default=lambda: None)

    def covering(self, start: int, end: int) -> list[Range]:
        """The tokens that overlap the characters [start, end), as disjoint ranges, ascending."""
        starts, ends = self._bounds
        inside = np.flatnonzero((starts < end) & (start < ends))
        runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
        return [(int(run[0]), int(run[-1]) + 1) for run in runs if len(run)]

    @cached_property
    def _bounds(self) -> np.ndarray:
        """Int64 [2, tokens]: where each token's characters begin and end."""
        return np.array(self.spans(), dtype=np.int64).reshape(-1, 2).T


def joined(ranges: Sequence[Range]) -> list[Range]:
    """The same positions as disjoint ranges, ascending, neighbours joined."""
    result: list[Range] = []
    for start, end in sorted(r for r in ranges if r[0] < r[1]):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def without(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """Positions in `ranges` and not in `holes`, as disjoint ranges."""
    # Where one of either begins or ends, and how deep one is in ranges and in holes from there on.
    edges = sorted(
        (position, kind, step)
        for kind, some in ((0, joined(ranges)), (1, joined(holes)))
        for start, end in some
        for position, step in ((start, 1), (end, -1))
    )
    left: list[Range] = []
    inside, since = [0, 0], 0
    for position, kind, step in edges:
        if inside == [1, 0] and since < position:
            left.append((since, position))
        inside[kind] += step
        since = position
    return left


def overlap(a: Range, b: Range) -> int:
    """Number of positions in both ranges."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))


def from_end(position: int | None, tokens: int, otherwise: int) -> int:
    """An absolute position of one that counts from the prompt's end where it is negative."""
    if position is None:
        return otherwise
    return max(0, position + tokens) if position < 0 else min(position, NO_END)
