"""Proves, from the device's own marks, that a request was steered as it asked, or says not."""

from dataclasses import dataclass

import numpy as np

from vagus_kernels.layout import applied_words
from vagus_server.plugin.wire import Mark, Range
from vagus_server.steering.program import Program


@dataclass(frozen=True)
class Mismatch:
    """What the device did, against what was asked, at the first difference."""

    operation: int
    site: int
    expected: int
    counted: int


@dataclass(frozen=True)
class SiteCount:
    """What one operation did at one site."""

    site: int
    tokens: int
    first: int | None
    last: int | None


class Ledger:
    """Collects a request's marks and balances them against its program.

    The device marks each token with the sites at which each operation acted. Tokens computed
    anew (after preemption) replace their earlier marks, so every position counts once.

    Args:
        program: what was asked.
        prompt_tokens: length of the prompt.
        sites: number of sites of the model.
        table_operations: operations per row of the device's table.
    """

    def __init__(
        self, program: Program, prompt_tokens: int, sites: int, table_operations: int
    ) -> None:
        self._program = program
        self._prompt_tokens = prompt_tokens
        self._shape = (table_operations, applied_words(sites))
        self._marks: list[tuple[int, int, bytes]] = []
        self._end: int | None = None
        self._start: int | None = None
        self._gap = False

    def add_spans(self, spans: list[Range]) -> None:
        """Takes the (start, tokens) of forward passes, in order."""
        for start, tokens in spans:
            if self._start is None or start < self._start:
                self._start = start
            if self._end is not None and start > self._end:
                self._gap = True
            self._end = start + tokens

    def add_marks(self, marks: list[Mark]) -> None:
        """Takes marks in the order of the forward passes."""
        for mark in marks:
            while self._marks and self._marks[-1][1] > mark.start:
                start, _, applied = self._marks.pop()
                if start < mark.start:
                    self._marks.append((start, mark.start, applied))
            last = self._marks[-1] if self._marks else None
            if last is not None and last[1] == mark.start and last[2] == mark.applied:
                self._marks[-1] = (last[0], mark.start + mark.tokens, mark.applied)
            else:
                self._marks.append((mark.start, mark.start + mark.tokens, mark.applied))

    @property
    def cached_tokens(self) -> int:
        """Leading tokens that the device did not compute: they came from the prefix cache."""
        return self._start or 0

    def processed_tokens(self, end: int) -> int:
        """Distinct tokens that the device computed, of the positions before end."""
        return max(0, min(end, self._end or 0) - self.cached_tokens)

    def in_scope(self, operation: int, end: int) -> int:
        """Tokens in an operation's scope among the computed positions before end."""
        window = (self.cached_tokens, end)
        scope = self._program.operations[operation].scope(self._prompt_tokens)
        return sum(_overlap(window, part) for part in scope)

    def counts(self, operation: int, end: int) -> list[SiteCount]:
        """What the device marked for an operation at each of its sites, before end."""
        counts = []
        for site in self._program.operations[operation].sites:
            tokens, first, last = 0, None, None
            for a, b, applied in self._marks:
                b = min(b, end)
                if a < b and self._acted(applied, operation, site):
                    tokens += b - a
                    first = a if first is None else first
                    last = b - 1
            counts.append(SiteCount(site, tokens, first, last))
        return counts

    def steered_tokens(self, end: int) -> int:
        """Tokens on which at least one operation acted, before end."""
        return sum(max(0, min(b, end) - a) for a, b, applied in self._marks if any(applied))

    def check(self, end: int) -> Mismatch | None:
        """Balances all positions before end; None when every token is as asked.

        Besides the counts, every token must be marked: a token without a mark is no proof that
        nothing acted there. And no operation may have acted on a token out of its scope or at a
        site that it does not name, nor any that the program does not have.
        """
        if not self._program:
            return None
        if self._gap or self._end is None or self._end < end:
            return Mismatch(0, 0, end, self.processed_tokens(end))
        window = (self.cached_tokens, end)
        marked = sum(_overlap(window, (a, b)) for a, b, _ in self._marks)
        if marked != end - self.cached_tokens:
            return Mismatch(0, 0, end - self.cached_tokens, marked)
        for i, operation in enumerate(self._program.operations):
            scope = operation.scope(self._prompt_tokens)
            expected = self.in_scope(i, end)
            for count in self.counts(i, end):
                if count.tokens != expected:
                    return Mismatch(i, count.site, expected, count.tokens)
            allowed = self._mask(operation.sites)
            for a, b, applied in self._marks:
                words = self._words(applied)[i]
                outside = (words & ~allowed).any()
                a, b = max(a, self.cached_tokens), min(b, end)
                steered = b - a if words.any() else 0
                if a < b and (outside or steered > sum(_overlap((a, b), s) for s in scope)):
                    return Mismatch(i, operation.sites[0], 0, b - a)
        return self._others(end)

    def _others(self, end: int) -> Mismatch | None:
        """The first mark, before end, of an operation that the program does not have."""
        first = len(self._program.operations)
        for a, b, applied in self._marks:
            acted = self._words(applied)[first:].any(axis=1)
            if a < end and acted.any():
                return Mismatch(first + int(acted.argmax()), 0, 0, min(b, end) - a)
        return None

    def _words(self, applied: bytes) -> np.ndarray:
        return np.frombuffer(applied, dtype="<u4").reshape(self._shape)

    def _acted(self, applied: bytes, operation: int, site: int) -> bool:
        return bool(self._words(applied)[operation, site // 32] >> np.uint32(site % 32) & 1)

    def _mask(self, sites: tuple[int, ...]) -> np.ndarray:
        mask = np.zeros(self._shape[1], dtype=np.uint32)
        for site in sites:
            mask[site // 32] |= np.uint32(1 << (site % 32))
        return mask


def _overlap(a: Range, b: Range) -> int:
    return max(0, min(a[1], b[1]) - max(a[0], b[0]))
