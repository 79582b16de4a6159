"""Proves, from the device's own marks, that a request was steered as it asked, or says not."""

from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np

from vagus_server.plugin.programs import measured_steps
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.program import Operation, Program
from vagus_server.steering.runs import Runs, Table
from vagus_server.steering.scope import positions_within


@dataclass(frozen=True)
class Mismatch:
    """What the device did, against what was asked, at the first difference."""

    operation: int
    site: int
    expected: int
    counted: int


@dataclass(frozen=True)
class SiteCount:
    """What one operation did at one site: tokens, the first and last of their positions."""

    site: int
    tokens: int
    first: int | None
    last: int | None
    #: Mean and greatest |step| over these tokens, in the stream's own scale.
    mean_step: float = 0.0
    max_step: float = 0.0


@dataclass(frozen=True)
class Segment:
    """A program and the positions that it holds for, as far as they were processed.

    `number` and `policies` say which it is; see `wire.Switch`.
    """

    start: int
    end: int
    program: Program
    number: int = 0
    policies: tuple[int, ...] = ()


class Ledger:
    """Collects a request's marks and balances them against its programs.

    The device marks each token, at each site, with the operations that acted there. Tokens
    computed anew (after preemption) replace their earlier marks, so every position counts once.

    Args:
        program: what was asked; `change` tells of others that came while it ran.
        sites: number of sites of the model.
    """

    def __init__(self, program: Program, sites: int) -> None:
        self._segments = [Segment(0, NO_END, program)]
        self._runs = Runs(sites)
        self._steps: dict[int, np.ndarray] = {}
        self._end: int | None = None
        self._start: int | None = None
        self._gap = False

    def change(
        self, start: int, program: Program, number: int = 0, policies: tuple[int, ...] = ()
    ) -> None:
        """From a position on, which was not processed yet, another program holds."""
        while len(self._segments) > 1 and self._segments[-1].start >= start:
            self._segments.pop()
        self._segments[-1] = replace(self._segments[-1], end=start)
        self._segments.append(Segment(start, NO_END, program, number, policies))

    def segments(self, end: int) -> list[Segment]:
        """All programs with what they held for before end; only the first may be empty."""
        cut = [replace(s, end=min(s.end, end)) for s in self._segments]
        return [s for i, s in enumerate(cut) if i == 0 or s.start < s.end]

    def add(self, start: int, tokens: int, marks: np.ndarray, steps: np.ndarray) -> None:
        """Takes one forward pass, in order.

        Args:
            start, tokens: the positions that it processed.
            marks: int32 [tokens, sites], or [0, sites] where the program is empty.
            steps: float32, flat: see `vagus_server.plugin.wire.Step.steps`.
        """
        if self._start is None or start < self._start:
            self._start = start
        if self._end is not None and start > self._end:
            self._gap = True
        self._end = start + tokens
        if len(marks):
            self._runs.add(start, marks)
        if len(steps):
            rows = steps.reshape(tokens, -1)
            self._steps.update(zip(range(start, start + tokens), rows, strict=True))

    @property
    def cached_tokens(self) -> int:
        """Leading tokens that the device did not compute: they came from the prefix cache."""
        return self._start or 0

    def processed_tokens(self, end: int) -> int:
        """Distinct tokens that the device computed, of the positions before end."""
        return max(0, min(end, self._end or 0) - self.cached_tokens)

    def _window(self, segment: Segment) -> Range:
        """Its positions that the device computed."""
        return max(segment.start, self.cached_tokens), segment.end

    def in_scope(self, segment: Segment, operation: int) -> int:
        """Tokens in an operation's scope among the computed positions of a segment."""
        scope = segment.program.operations[operation].scope
        return int(positions_within(scope, *map(np.array, self._window(segment))))

    def counts(self, segment: Segment, operation: int) -> list[SiteCount]:
        """What the device marked in a segment for an operation, at each of its sites."""
        sites = segment.program.operations[operation].sites
        table = self._runs.between(*self._window(segment))
        acted = (table.marks >> operation & 1).astype(bool)
        return [
            self._count(segment, operation, i, table, acted[:, site])
            for i, site in enumerate(sites)
        ]

    def _count(
        self, segment: Segment, operation: int, i: int, table: Table, acted: np.ndarray
    ) -> SiteCount:
        """At the operation's i-th site; `acted` says on which of the table's runs."""
        asked = segment.program.operations[operation]
        site, starts, ends = asked.sites[i], table.starts[acted], table.ends[acted]
        if not len(starts):
            return SiteCount(site, 0, None, None)
        tokens, first, last = int((ends - starts).sum()), int(starts[0]), int(ends[-1]) - 1
        columns = _columns(segment.program)
        if (operation, site) not in columns:
            step = abs(asked.a[i])
            return SiteCount(site, tokens, first, last, step, step)
        column = columns.index((operation, site))
        runs = zip(starts.tolist(), ends.tolist(), strict=True)
        steps = np.abs([self._steps[p][column] for run in runs for p in range(*run)])
        return SiteCount(site, tokens, first, last, float(steps.mean()), float(steps.max()))

    def steered_tokens(self, end: int) -> int:
        """Tokens on which at least one operation acted, before end."""
        table = self._runs.between(0, end)
        return int(table.tokens[table.marks.any(axis=1)].sum())

    def check(self, end: int) -> Mismatch | None:
        """Balances all positions before end; None when every token is as asked.

        Besides the counts, every token must be marked: a token without a mark is no proof that
        nothing acted there. And no operation may have acted on a token out of its scope or at a
        site that it does not name, nor any that the program does not have. A gated operation
        may act on any token in its scope, and on no other. Where a program was replaced by
        none, its tokens must be marked as well, with nothing.
        """
        segments = self.segments(end)
        if len(segments) == 1 and not segments[0].program:
            return None
        if self._gap or self._end is None or self._end < end:
            return Mismatch(0, 0, end, self.processed_tokens(end))
        for i, segment in enumerate(segments):
            if i > 0 or segment.program:
                mismatch = self._check_segment(segment)
                if mismatch is not None:
                    return mismatch
        return None

    def _check_segment(self, segment: Segment) -> Mismatch | None:
        start, end = self._window(segment)
        table = self._runs.between(start, end)
        marked = int(table.tokens.sum())
        if marked != max(end - start, 0):
            return Mismatch(0, 0, max(end - start, 0), marked)
        operations = segment.program.operations
        found = [_strangers(table, len(operations))]
        found += [_difference(table, i, operation) for i, operation in enumerate(operations)]
        return min(filter(None, found), key=itemgetter(0), default=(0, None))[1]


#: A run's index in a table, and what is wrong there first.
_Found = tuple[int, Mismatch] | None


def _strangers(table: Table, operations: int) -> _Found:
    """A mark of an operation that the program does not have."""
    strange = table.marks & ~((1 << operations) - 1)
    if not strange.any():
        return None
    run, site = divmod(int((strange != 0).argmax()), strange.shape[1])
    operation = int(strange[run, site]).bit_length() - 1
    return run, Mismatch(operation, site, 0, int(table.tokens[run]))


def _difference(table: Table, i: int, operation: Operation) -> _Found:
    """The i-th operation against the marks. A run may reach over the bounds of a scope."""
    counted = (table.marks >> i & 1) * table.tokens[:, None]
    expected = np.zeros_like(counted)
    in_scope = positions_within(operation.scope, table.starts, table.ends)
    expected[:, list(operation.sites)] = in_scope[:, None]
    wrong = counted != expected if operation.gate is None else counted > expected
    if not wrong.any():
        return None
    run, site = divmod(int(wrong.argmax()), wrong.shape[1])
    return run, Mismatch(i, site, int(expected[run, site]), int(counted[run, site]))


def _columns(program: Program) -> list[tuple[int, int]]:
    """The operations and sites whose steps the device measures, in the order of its columns."""
    return [
        (i, site)
        for i, operation in enumerate(program.operations)
        if measured_steps(operation.action, operation.envelope is not None)
        for site in operation.sites
    ]
