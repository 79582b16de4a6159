"""Programs, doses and receipts."""

from collections import Counter as Multiset
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vagus_server.engine.running import Running
from vagus_server.metrics.buckets import DOSE
from vagus_server.metrics.labels import OTHER_CONCEPTS, Labels
from vagus_server.steering.program import ACTIONS, Program

_ACTION_NAMES = {value: name for name, value in ACTIONS.items()}


class Steering:
    """What was asked of the device, and whether it did it.

    Args:
        concepts: get a label of their own; uploaded and inline ones share one.
        slots: capacity of the program table.
        registry: where the metrics live.
    """

    def __init__(self, concepts: Sequence[str], slots: int, registry: CollectorRegistry) -> None:
        r = registry
        self._concepts = Labels(concepts, OTHER_CONCEPTS)
        self._programs: Multiset[bytes] = Multiset()
        self.slots_used = Gauge(
            "vagus_program_slots_used", "Distinct programs that run now.", registry=r
        )
        self.slots_capacity = Gauge(
            "vagus_program_slots_capacity", "Distinct programs that can run at once.", registry=r
        )
        self.slots_capacity.set(slots)
        self.operations = Counter(
            "vagus_operations",
            "Operations of requests that the engine took.",
            ["action", "gated"],
            registry=r,
        )
        self.steered_tokens = Counter(
            "vagus_steered_tokens",
            "Tokens that at least one operation steered, by the device's own marks.",
            registry=r,
        )
        self.receipts = Counter(
            "vagus_receipts", "Receipts of steered requests.", ["outcome"], registry=r
        )
        self.changes = Counter(
            "vagus_changes", "Changes of running requests.", ["outcome"], registry=r
        )
        self.program_dose = Histogram(
            "vagus_program_dose_ratio",
            "Dose of a steered request: sum of |dose| over operations and sites.",
            buckets=DOSE,
            registry=r,
        )
        self.concept_dose = Histogram(
            "vagus_concept_dose_ratio",
            "Dose of a steered request per concept: sum of |dose| over its sites.",
            ["concept"],
            buckets=DOSE,
            registry=r,
        )
        for action in ACTIONS:
            for gated in ("no", "yes"):
                self.operations.labels(action, gated)
        for outcome in ("verified", "failed"):
            self.receipts.labels(outcome)
        for outcome in ("made", "refused"):
            self.changes.labels(outcome)
        for concept in self._concepts.values:
            self.concept_dose.labels(concept)

    def begin(self, program: Program) -> None:
        """Counts a program that runs, until `end`."""
        if program:
            self._programs[program.tables_digest] += 1
            self.slots_used.set(len(self._programs))

    def end(self, program: Program) -> None:
        """Takes a program out of the gauge."""
        if program:
            self._programs[program.tables_digest] -= 1
            self._programs += Multiset()  # drops what has come to zero
            self.slots_used.set(len(self._programs))

    def read(self, running: Running) -> int:
        """Takes a request's program and receipt; returns its steered tokens."""
        if not running.steered:
            return 0
        program = running.request.program
        if running.balanced is not None:
            self.receipts.labels("verified" if running.balanced else "failed").inc()
        steered = running.ledger.steered_tokens(running.processed_end)
        self.steered_tokens.inc(steered)
        doses: Multiset[str] = Multiset()
        for operation in program.operations:
            action, gated = _ACTION_NAMES[operation.action], operation.gate is not None
            self.operations.labels(action, "yes" if gated else "no").inc()
            doses[self._concepts.of(operation.concept)] += sum(map(abs, operation.doses))  # type: ignore[assignment]
        if program:
            self.program_dose.observe(program.dose)
        for concept, dose in doses.items():
            self.concept_dose.labels(concept).observe(dose)
        return steered
