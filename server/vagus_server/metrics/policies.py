"""What Prometheus sees of policies."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge

_KINDS = ("began", "ceased", "stopped")


class PolicyMetrics:
    """Events by policy. Policies are the operator's own, so they are a bounded label.

    Args:
        registry: where the metrics live.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "vagus_policy_events",
            "Policies that began or ceased to act, or ended a request.",
            ["policy", "kind"],
            registry=registry,
        )
        self._in_force = Gauge("vagus_policies", "Policies in force.", registry=registry)
        self._reloads = Counter(
            "vagus_policy_reloads",
            "Changes of the policy file: taken, or refused because it cannot be used.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("taken", "refused"):
            self._reloads.labels(outcome)

    def show(self, names: Iterable[str]) -> None:
        """The policies in force; each has its series from the start."""
        names = list(names)
        self._in_force.set(len(names))
        for name in names:
            for kind in _KINDS:
                self._events.labels(name, kind)

    def reloaded(self, taken: bool) -> None:
        """Counts a change of the file."""
        self._reloads.labels("taken" if taken else "refused").inc()

    def event(self, name: str, kind: str) -> None:
        """Counts what a policy did: one of "began", "ceased" and "stopped"."""
        self._events.labels(name, kind).inc()
