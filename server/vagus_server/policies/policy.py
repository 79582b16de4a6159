"""A policy as the engine runs it: names, units and bounds resolved."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from vagus_server.plugin.wire import OrderPolicy
from vagus_server.steering.program import Program


@dataclass(frozen=True)
class Trigger:
    """A condition on a concept's smoothed z-score over generated tokens.

    Args:
        concept: name.
        column: index of the concept among those that are read.
        mean, deviation: of the reference traffic, at the readout site.
        below: holds at or below `begin`, and ceases above `cease`; else the other way round.
        begin, cease: bounds of z.
        smoothing: tokens that the exponential mean spans.
        after: tokens that must have been generated first.
    """

    concept: str
    column: int
    mean: float
    deviation: float
    below: bool
    begin: float
    cease: float
    smoothing: int
    after: int


@dataclass(frozen=True)
class Policy:
    """A trigger, and what is done while it holds.

    Args:
        name: unique in its set.
        trigger: when it acts.
        severity: of the alert: "info", "warning" or "critical".
        program: operations that are added while it acts; empty for none.
        stops: whether the request ends when it begins.
    """

    name: str
    trigger: Trigger
    severity: str = "warning"
    program: Program = field(default_factory=Program)
    stops: bool = False

    def order(self, row_of: Mapping[str, int]) -> OrderPolicy:
        """As the scheduler watches it; `row_of` is where the device holds contents, by digest."""
        t = self.trigger
        sign = -1 if t.below else 1
        return OrderPolicy(
            site=0,
            concept=t.column,
            mean=t.mean,
            deviation=t.deviation,
            sign=sign,
            begin=sign * t.begin,
            cease=sign * t.cease,
            share=2 / (t.smoothing + 1),
            after=t.after,
            operations=self.program.order_operations(row_of),
            digest=self.program.tables_digest if self.program else b"",
            stops=self.stops,
        )

    def smoothed(self, value: float) -> float:
        """The z-score that a sighting tells, in the trigger's own direction."""
        return -value if self.trigger.below else value
