"""Which tokens an operation acts on: rules of the request, as ranges of positions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
        """The tokens that overlap the characters [start, end)."""
        spans = self.spans()
        assert spans is not None
        inside = [i for i, (a, b) in enumerate(spans) if a < end and start < b]
        return [(i, i + 1) for i in inside]


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
    left = joined(ranges)
    for hole_start, hole_end in joined(holes):
        left = [
            piece
            for start, end in left
            for piece in ((start, min(end, hole_start)), (max(start, hole_end), end))
            if piece[0] < piece[1]
        ]
    return left


def overlap(a: Range, b: Range) -> int:
    """Number of positions in both ranges."""
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))


def from_end(position: int | None, tokens: int, otherwise: int) -> int:
    """An absolute position of one that counts from the prompt's end where it is negative."""
    if position is None:
        return otherwise
    return max(0, position + tokens) if position < 0 else min(position, NO_END)
