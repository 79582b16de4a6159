"""Proves, from the device's own marks, that a request was steered as it asked, or says not."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from vagus_server.plugin.programs import measured_steps
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.program import Program
from vagus_server.steering.scope import overlap


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


@dataclass(frozen=True)
class _Run:
    """Consecutive positions on which the device did the same."""

    start: int
    end: int
    #: int32 [sites]: bit p is set where operation p acted.
    marks: np.ndarray

    def cut(self, start: int, end: int) -> "_Run":
        return _Run(max(start, self.start), min(end, self.end), self.marks)


class Ledger:
    """Collects a request's marks and balances them against its programs.

    The device marks each token, at each site, with the operations that acted there. Tokens
    computed anew (after preemption) replace their earlier marks, so every position counts once.

    Args:
        program: what was asked; `change` tells of others that came while it ran.
        sites: number of sites of the model.
    """

    def __init__(self, program: Program, sites: int) -> None:
        self._sites = sites
        self._segments = [Segment(0, NO_END, program)]
        self._runs: list[_Run] = []
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
            self._add_marks(start, marks)
        if len(steps):
            rows = steps.reshape(tokens, -1)
            self._steps.update(zip(range(start, start + tokens), rows, strict=True))

    def _add_marks(self, start: int, marks: np.ndarray) -> None:
        while self._runs and self._runs[-1].end > start:
            last = self._runs.pop()
            if last.start < start:
                self._runs.append(last.cut(0, start))
        cuts = np.flatnonzero((marks[1:] != marks[:-1]).any(axis=1)) + 1
        for a, b in pairwise([0, *cuts.tolist(), len(marks)]):
            before = self._runs[-1] if self._runs else None
            row = marks[a]
            if before is not None and before.end == start + a and (before.marks == row).all():
                self._runs[-1] = _Run(before.start, start + b, before.marks)
            else:
                self._runs.append(_Run(start + a, start + b, row.copy()))

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
        return sum(overlap(self._window(segment), part) for part in scope)

    def counts(self, segment: Segment, operation: int) -> list[SiteCount]:
        """What the device marked in a segment for an operation, at each of its sites."""
        sites = segment.program.operations[operation].sites
        return [self._count(segment, operation, i, site) for i, site in enumerate(sites)]

    def _count(self, segment: Segment, operation: int, i: int, site: int) -> SiteCount:
        runs = [r for r in self._runs_in(self._window(segment)) if r.marks[site] >> operation & 1]
        tokens = sum(r.end - r.start for r in runs)
        if not runs:
            return SiteCount(site, 0, None, None)
        first, last = runs[0].start, runs[-1].end - 1
        columns = _columns(segment.program)
        if (operation, site) not in columns:
            step = abs(segment.program.operations[operation].a[i])
            return SiteCount(site, tokens, first, last, step, step)
        column = columns.index((operation, site))
        steps = np.abs([self._steps[p][column] for r in runs for p in range(r.start, r.end)])
        return SiteCount(site, tokens, first, last, float(steps.mean()), float(steps.max()))

    def steered_tokens(self, end: int) -> int:
        """Tokens on which at least one operation acted, before end."""
        return sum(r.end - r.start for r in self._runs_in((0, end)) if r.marks.any())

    def _runs_in(self, window: Range) -> Iterator[_Run]:
        start, end = window
        return (r.cut(start, end) for r in self._runs if r.start < end and start < r.end)

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
        start, end = window = self._window(segment)
        runs = list(self._runs_in(window))
        marked = sum(r.end - r.start for r in runs)
        if marked != max(end - start, 0):
            return Mismatch(0, 0, max(end - start, 0), marked)
        known = (1 << len(segment.program.operations)) - 1
        for run in runs:
            mismatch = self._check_strangers(run, known) or self._check_run(run, segment.program)
            if mismatch is not None:
                return mismatch
        return None

    def _check_strangers(self, run: _Run, known: int) -> Mismatch | None:
        """A mark of an operation that the program does not have."""
        strange = run.marks & ~known
        if not strange.any():
            return None
        site = int(strange.astype(bool).argmax())
        operation = int(strange[site]).bit_length() - 1
        return Mismatch(operation, site, 0, run.end - run.start)

    def _check_run(self, run: _Run, program: Program) -> Mismatch | None:
        """Operations against a run's marks. A run may reach over the bounds of a scope."""
        tokens = run.end - run.start
        for i, operation in enumerate(program.operations):
            acted = (run.marks >> i & 1).astype(bool)
            named = np.zeros(self._sites, dtype=bool)
            named[list(operation.sites)] = True
            expected = sum(overlap((run.start, run.end), part) for part in operation.scope)
            if (acted & ~named).any():
                return Mismatch(i, int((acted & ~named).argmax()), 0, tokens)
            for site in operation.sites:
                counted = tokens if acted[site] else 0
                missing = counted < expected and operation.gate is None
                if counted > expected or missing:
                    return Mismatch(i, site, expected, counted)
        return None


def _columns(program: Program) -> list[tuple[int, int]]:
    """The operations and sites whose steps the device measures, in the order of its columns."""
    return [
        (i, site)
        for i, operation in enumerate(program.operations)
        if measured_steps(operation.action, operation.envelope is not None)
        for site in operation.sites
    ]
