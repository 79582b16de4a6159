"""The engine behind the services: its bank, its workers, its canary, its versions."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Info

import vagus_server
from vagus_server.concepts.registry import Registry
from vagus_server.engine.rows import Rows
from vagus_server.plugin.pin import VLLM_VERSION


class EngineState:
    """Gauges of what the engine holds.

    Args:
        model: name of the served model.
        registry: where the metrics live.
    """

    def __init__(self, model: str, registry: CollectorRegistry) -> None:
        r = registry
        self.concepts_registered = Gauge(
            "vagus_concepts_registered", "Concepts that tenants have uploaded.", registry=r
        )
        self.vector_rows_used = Gauge(
            "vagus_vector_rows_used",
            "Rows of the vector bank that a concept or a request needs, the pack's included.",
            registry=r,
        )
        self.vector_rows_capacity = Gauge(
            "vagus_vector_rows_capacity", "Rows of the vector bank.", registry=r
        )
        self.worker_requests = Gauge(
            "vagus_worker_requests", "Requests that the engine's workers hold.", registry=r
        )
        self.worker_slots = Gauge(
            "vagus_worker_program_slots_used",
            "Program slots that the engine's workers hold; 0 when nothing runs.",
            registry=r,
        )
        self.canaries = Counter(
            "vagus_canaries",
            "Checks on the device that steering steers and reading reads.",
            ["outcome"],
            registry=r,
        )
        self.canary_passed = Gauge(
            "vagus_canary_last_pass_timestamp_seconds",
            "When the canary last passed, in Unix time.",
            registry=r,
        )
        self.ready = Gauge("vagus_ready", "1 while the server takes requests.", registry=r)
        for outcome in ("passed", "failed"):
            self.canaries.labels(outcome)
        build = Info("vagus_build", "Versions and model.", registry=r)
        build.info(
            {"version": vagus_server.__version__, "vllm_version": VLLM_VERSION, "model": model}
        )

    def watch(self, registry: Registry, rows: Rows) -> None:
        """Shows, from now on, the concepts of a registry and the rows of a vector bank."""
        self.concepts_registered.set_function(lambda: registry.registered)
        self.vector_rows_used.set_function(lambda: rows.used)
        self.vector_rows_capacity.set(rows.capacity)

    def worker(self, requests: int, slots: int) -> None:
        """Takes what the workers report of their tables."""
        self.worker_requests.set(requests)
        self.worker_slots.set(slots)

    def canary(self, passed: bool) -> None:
        """Counts a run of the canary."""
        self.canaries.labels("passed" if passed else "failed").inc()
        if passed:
            self.canary_passed.set_to_current_time()
