"""Proves, from the device's own marks, that a request was steered as it asked, or says not."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vagus_server.plugin.programs import measured_steps
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
class _Run:
    """Consecutive positions on which the device did the same."""

    start: int
    end: int
    #: int32 [sites]: bit p is set where operation p acted.
    marks: np.ndarray

    def cut(self, start: int, end: int) -> "_Run":
        return _Run(max(start, self.start), min(end, self.end), self.marks)


class Ledger:
    """Collects a request's marks and balances them against its program.

    The device marks each token, at each site, with the operations that acted there. Tokens
    computed anew (after preemption) replace their earlier marks, so every position counts once.

    Args:
        program: what was asked.
        sites: number of sites of the model.
    """

    def __init__(self, program: Program, sites: int) -> None:
        self._program = program
        self._sites = sites
        self._runs: list[_Run] = []
        self._steps: dict[int, np.ndarray] = {}
        self._columns = [
            (i, site)
            for i, operation in enumerate(program.operations)
            if measured_steps(operation.action, operation.envelope is not None)
            for site in operation.sites
        ]
        self._end: int | None = None
        self._start: int | None = None
        self._gap = False

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
        if self._columns and len(steps):
            rows = steps.reshape(tokens, len(self._columns))
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

    def in_scope(self, operation: int, end: int) -> int:
        """Tokens in an operation's scope among the computed positions before end."""
        window = (self.cached_tokens, end)
        return sum(overlap(window, part) for part in self._program.operations[operation].scope)

    def counts(self, operation: int, end: int) -> list[SiteCount]:
        """What the device marked for an operation at each of its sites, before end."""
        asked = self._program.operations[operation]
        return [self._count(operation, i, site, end) for i, site in enumerate(asked.sites)]

    def _count(self, operation: int, i: int, site: int, end: int) -> SiteCount:
        runs = [r for r in self._until(end) if r.marks[site] >> operation & 1]
        tokens = sum(r.end - r.start for r in runs)
        if not runs:
            return SiteCount(site, 0, None, None)
        first, last = runs[0].start, runs[-1].end - 1
        if (operation, site) not in self._columns:
            step = abs(self._program.operations[operation].a[i])
            return SiteCount(site, tokens, first, last, step, step)
        column = self._columns.index((operation, site))
        steps = np.abs([self._steps[p][column] for r in runs for p in range(r.start, r.end)])
        return SiteCount(site, tokens, first, last, float(steps.mean()), float(steps.max()))

    def steered_tokens(self, end: int) -> int:
        """Tokens on which at least one operation acted, before end."""
        return sum(r.end - r.start for r in self._until(end) if r.marks.any())

    def _until(self, end: int) -> Iterator[_Run]:
        return (r.cut(0, end) for r in self._runs if r.start < end)

    def check(self, end: int) -> Mismatch | None:
        """Balances all positions before end; None when every token is as asked.

        Besides the counts, every token must be marked: a token without a mark is no proof that
        nothing acted there. And no operation may have acted on a token out of its scope or at a
        site that it does not name, nor any that the program does not have. A gated operation
        may act on any token in its scope, and on no other.
        """
        if not self._program:
            return None
        if self._gap or self._end is None or self._end < end:
            return Mismatch(0, 0, end, self.processed_tokens(end))
        window = (self.cached_tokens, end)
        marked = sum(overlap(window, (r.start, r.end)) for r in self._runs)
        if marked != end - self.cached_tokens:
            return Mismatch(0, 0, end - self.cached_tokens, marked)
        known = (1 << len(self._program.operations)) - 1
        for run in self._until(end):
            run = run.cut(*window)
            if run.start < run.end:
                mismatch = self._check_strangers(run, known) or self._check_run(run)
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

    def _check_run(self, run: _Run) -> Mismatch | None:
        """Operations against a run's marks. A run may reach over the bounds of a scope."""
        tokens = run.end - run.start
        for i, operation in enumerate(self._program.operations):
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
