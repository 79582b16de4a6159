"""Which tokens an operation acts on: rules of the request, as ranges of positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vagus_server.plugin.wire import NO_END, Range


@dataclass(frozen=True)
class PromptMap:
    """What scopes need to know of a prompt.

    Many rules may ask the same, so what is found out is kept.

    Args:
        tokens: its length.
        spans: character span of each token in the text, or None where the prompt is no text.
        turns: (role, first character, end) of each message's content, in order, or None where
            the prompt is no chat.
        characters: whether the text is the caller's own, so that its characters can be named.
    """

    tokens: int
    characters: bool = False
    spans: Callable[[], Sequence[tuple[int, int]] | None] = field(default=lambda: None)
    turns: Callable[[], Sequence[tuple[int, int, int]] | None] = field(default=lambda: None)

    @cached_property
    def length(self) -> int | None:
        """Characters of the text, as far as tokens have any; None where it is no text."""
        bounds = self._bounds
        return None if bounds is None else int(bounds[1].max(initial=0))

    def covering(self, start: int, end: int) -> list[Range]:
        """The tokens that overlap the characters [start, end), as disjoint ranges, ascending."""
        assert self._bounds is not None, "asked of a prompt that is no text"
        starts, ends = self._bounds
        if self._in_order:
            first = int(np.searchsorted(ends, start, side="right"))
            last = int(np.searchsorted(starts, end, side="left"))
            return [(first, last)] if first < last else []
        return _runs((starts < end) & (start < ends))

    def spoken(self, role: int) -> Sequence[Range] | None:
        """The tokens of what a role says, as disjoint ranges, ascending; None where no chat."""
        found = self._spoken
        return None if found is None else found.get(role, ())

    @cached_property
    def _spoken(self) -> dict[int, Sequence[Range]] | None:
        turns = self.turns()
        if turns is None:
            return None
        assert self._bounds is not None, "turns are of a text"
        starts, ends = self._bounds
        spoken: dict[int, Sequence[Range]] = {}
        for role in {role for role, _, _ in turns}:
            first, last = np.array([t[1:] for t in turns if t[0] == role], dtype=np.int64).T
            # A token overlaps a turn if it does the first one that ends behind its beginning.
            turn = np.searchsorted(last, starts, side="right")
            begins = np.append(first, np.iinfo(np.int64).max)[turn]
            spoken[role] = _runs(begins < ends)
        return spoken

    @cached_property
    def _bounds(self) -> np.ndarray | None:
        """Int64 [2, tokens]: where each token's characters begin and end."""
        spans = self.spans()
        return None if spans is None else np.array(spans, dtype=np.int64).reshape(-1, 2).T

    @cached_property
    def _in_order(self) -> bool:
        """Whether no token begins or ends before the one in front of it."""
        assert self._bounds is not None
        return bool((np.diff(self._bounds) >= 0).all())


def _runs(inside: np.ndarray) -> list[Range]:
    """Where a mask is true, as ranges."""
    edges = np.flatnonzero(np.diff(inside, prepend=False, append=False))
    return [(start, end) for start, end in edges.reshape(-1, 2).tolist()]


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
    """Positions in `ranges` and not in `holes`, as disjoint ranges, ascending."""
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


def positions_within(ranges: Sequence[Range], starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """How many positions of disjoint ranges, ascending, lie in each [start, end), int64 [n]."""
    # A range of nothing in front: every position has one that begins at it or before it.
    bounds = np.array([(0, 0), *ranges], dtype=np.int64)
    first, last = bounds.T
    before = np.cumsum(last - first)

    def below(positions: np.ndarray) -> np.ndarray:
        i = np.searchsorted(first, positions, side="right") - 1
        return before[i] - np.maximum(last[i] - positions, 0)

    return np.maximum(below(ends) - below(starts), 0)


def from_end(position: int | None, tokens: int, otherwise: int) -> int:
    """An absolute position of one that counts from the prompt's end where it is negative."""
    if position is None:
        return otherwise
    return max(0, position + tokens) if position < 0 else min(position, NO_END)
