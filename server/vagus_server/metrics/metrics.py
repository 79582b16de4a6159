"""What Prometheus sees of steering and readouts, beside vLLM's own metrics.

Every series exists from the start: a rate over a series that appears with its first event
misses that event. Concepts are a bounded label, chosen in the configuration.
"""

from collections import Counter as Multiset
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc
import numpy as np
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    disable_created_metrics,
)

import vagus_server
from vagus.v1 import (
    concept_service_pb2,
    generation_service_pb2,
    model_service_pb2,
    policy_service_pb2,
    readout_service_pb2,
)
from vagus_server.concepts.registry import Registry
from vagus_server.engine.rows import Rows
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sinks
from vagus_server.health import Health
from vagus_server.metrics.policies import PolicyMetrics
from vagus_server.packs.pack import Pack
from vagus_server.plugin.pin import VLLM_VERSION
from vagus_server.readouts.render import AFTER
from vagus_server.services.admission import Admission
from vagus_server.steering.program import Program

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
#: Decode steps of small models on fast devices take under a millisecond.
_INTER_TOKEN = (0.0005, *_LATENCY[:-3])
_Z = (-8, -5, -4, -3, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 5, 8)
_DOSE = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1, 1.5, 2)


def _methods() -> list[str]:
    files = (
        generation_service_pb2,
        readout_service_pb2,
        concept_service_pb2,
        model_service_pb2,
        policy_service_pb2,
    )
    services = [s for f in files for s in f.DESCRIPTOR.services_by_name.values()]
    return [method.name for service in services for method in service.methods]


class Progress:
    """Times one running request."""

    def __init__(self, metrics: "Metrics") -> None:
        self._metrics = metrics
        self._last: float | None = None

    @property
    def started(self) -> bool:
        """Whether the first token has come."""
        return self._last is not None

    def tokens(self, count: int, elapsed: float) -> None:
        """Notes tokens that came, `elapsed` seconds after the request was submitted."""
        if count == 0:
            return
        m = self._metrics
        if self._last is None:
            m.time_to_first_token.observe(elapsed)
            m.requests_waiting.dec()
            m.requests_running.inc()
        else:
            for _ in range(count):
                m.inter_token_latency.observe((elapsed - self._last) / count)
        self._last = elapsed
        m.generated_tokens.inc(count)


class Metrics:
    """All metrics of one server.

    Args:
        pack: the served pack, for z-scores.
        readout_site: index of the monitored site among the served readout sites.
        concepts: concepts that get histograms.
        model: name of the served model.
        slots: capacity of the program table.
        registry: where the metrics live.
    """

    def __init__(
        self,
        pack: Pack,
        concepts: Sequence[str],
        model: str,
        slots: int,
        readout_site: int = 0,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        self._pack = pack
        self._concepts = list(concepts)
        self._site_index = readout_site
        self._programs: Multiset[bytes] = Multiset()
        self._readout_bytes_seen = 0
        # The *_created series double the page and nothing here reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        r = registry
        self.requests = Counter(
            "vagus_requests", "Calls by method and gRPC code.", ["method", "code"], registry=r
        )
        self.request_duration = Histogram(
            "vagus_request_duration_seconds",
            "Time from a call's arrival to its status.",
            ["method"],
            buckets=_LATENCY,
            registry=r,
        )
        self.time_to_first_token = Histogram(
            "vagus_time_to_first_token_seconds",
            "Time from a request's arrival to the first token, its wait in the queue included.",
            buckets=_LATENCY,
            registry=r,
        )
        self.queue_duration = Histogram(
            "vagus_queue_duration_seconds",
            "Time that a request waited for a place in the engine.",
            buckets=(0, *_LATENCY),
            registry=r,
        )
        self.requests_queued = Gauge(
            "vagus_requests_queued", "Requests that wait for a place in the engine.", registry=r
        )
        self.inter_token_latency = Histogram(
            "vagus_inter_token_latency_seconds",
            "Time between tokens of a request.",
            buckets=_INTER_TOKEN,
            registry=r,
        )
        self.prompt_tokens = Counter(
            "vagus_prompt_tokens", "Prompt tokens of finished requests.", registry=r
        )
        self.generated_tokens = Counter("vagus_generated_tokens", "Tokens generated.", registry=r)
        self.steered_tokens = Counter(
            "vagus_steered_tokens",
            "Tokens that at least one operation steered, by the device's own marks.",
            registry=r,
        )
        self.requests_running = Gauge(
            "vagus_requests_running", "Requests that have a first token.", registry=r
        )
        self.requests_waiting = Gauge(
            "vagus_requests_waiting",
            "Requests in the engine that wait for their first token.",
            registry=r,
        )
        self.slots_used = Gauge(
            "vagus_program_slots_used", "Distinct programs that run now.", registry=r
        )
        self.slots_capacity = Gauge(
            "vagus_program_slots_capacity", "Distinct programs that can run at once.", registry=r
        )
        self.slots_capacity.set(slots)
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
        self.readout_bytes = Counter(
            "vagus_readout_bytes", "Bytes of readouts and marks from the engine.", registry=r
        )
        self.cache_queries = Counter(
            "vagus_prefix_cache_queries",
            "Prompt tokens that were looked up in the prefix cache.",
            ["kind"],
            registry=r,
        )
        self.cache_hits = Counter(
            "vagus_prefix_cache_hits",
            "Prompt tokens that came from the prefix cache, in whole blocks.",
            ["kind"],
            registry=r,
        )
        self.changes = Counter(
            "vagus_changes", "Changes of running requests.", ["outcome"], registry=r
        )
        self.policies = PolicyMetrics(r)
        self.receipts = Counter(
            "vagus_receipts", "Receipts of steered requests.", ["outcome"], registry=r
        )
        self.turn_mean = Histogram(
            "vagus_concept_turn_mean_z",
            "Mean z-score of a concept over a turn's generated tokens.",
            ["concept"],
            buckets=_Z,
            registry=r,
        )
        self.last_prompt_token = Histogram(
            "vagus_concept_last_prompt_token_z",
            "Z-score of a concept at the last prompt token.",
            ["concept"],
            buckets=_Z,
            registry=r,
        )
        self.dose = Histogram(
            "vagus_concept_dose_ratio",
            "Dose of a steered request per concept: sum of |dose| over its sites.",
            ["concept"],
            buckets=_DOSE,
            registry=r,
        )
        self.canaries = Counter(
            "vagus_canaries",
            "Proofs, repeated while the server runs, that the device steers and reads.",
            ["outcome"],
            registry=r,
        )
        self.ready = Gauge("vagus_ready", "1 while the server takes requests.", registry=r)
        build = Info("vagus_build", "Versions and model.", registry=r)
        build.info(
            {"version": vagus_server.__version__, "vllm_version": VLLM_VERSION, "model": model}
        )
        self._create_series()

    def _create_series(self) -> None:
        for method in _methods():
            self.request_duration.labels(method)
            for code in grpc.StatusCode:
                self.requests.labels(method, code.name)
        for outcome in ("verified", "failed"):
            self.receipts.labels(outcome)
        for outcome in ("made", "refused"):
            self.changes.labels(outcome)
        for outcome in ("passed", "failed"):
            self.canaries.labels(outcome)
        for kind in ("plain", "steered"):
            self.cache_queries.labels(kind)
            self.cache_hits.labels(kind)
        for concept in self._concepts:
            self.turn_mean.labels(concept)
            self.last_prompt_token.labels(concept)
            self.dose.labels(concept)

    def request(self, method: str, code: str, seconds: float) -> None:
        """Counts a finished call."""
        self.requests.labels(method, code).inc()
        self.request_duration.labels(method).observe(seconds)

    @contextmanager
    def running(self, program: Program) -> Iterator[Progress]:
        """Counts a request as waiting, then running, until the block ends."""
        progress = Progress(self)
        self.requests_waiting.inc()
        if program:
            self._programs[program.tables_digest] += 1
            self.slots_used.set(len(self._programs))
        try:
            yield progress
        finally:
            (self.requests_running if progress.started else self.requests_waiting).dec()
            if program:
                self._programs[program.tables_digest] -= 1
                self._programs += Multiset()  # drops what has come to zero
                self.slots_used.set(len(self._programs))

    def queued(self, seconds: float) -> None:
        """Notes that a request got its place after so many seconds."""
        self.queue_duration.observe(seconds)

    def finished(self, running: Running, sinks: Sinks) -> None:
        """Takes a generation's readouts and receipt, however it ended."""
        self.read(running, sinks)
        sink = running.sink
        if sink.turn_sum is not None:
            self._observe(self.turn_mean, sink.turn_sum / max(sink.turn_tokens, 1))
        if sink.last_prompt_token is not None:
            self._observe(self.last_prompt_token, sink.last_prompt_token)

    def read(self, running: Running, sinks: Sinks) -> None:
        """Takes a request's tokens and receipt."""
        self.prompt_tokens.inc(len(running.request.token_ids))
        self.readout_bytes.inc(sinks.readout_bytes - self._readout_bytes_seen)
        self._readout_bytes_seen = sinks.readout_bytes
        program, end = running.request.program, running.processed_end
        steered = running.steered
        if running.cached_tokens is not None:
            kind = "steered" if program else "plain"
            self.cache_queries.labels(kind).inc(len(running.request.token_ids))
            self.cache_hits.labels(kind).inc(running.cached_tokens)
        if running.balanced is not None and steered:
            self.receipts.labels("verified" if running.balanced else "failed").inc()
        if steered:
            self.steered_tokens.inc(running.ledger.steered_tokens(end))
            doses: Multiset[str] = Multiset()
            for operation in program.operations:
                doses[operation.concept] += sum(map(abs, operation.doses))  # type: ignore[assignment]
            for concept, dose in doses.items():
                if concept in self._concepts:
                    self.dose.labels(concept).observe(dose)

    def watch_flow(self, admission: Admission, health: Health) -> None:
        """Shows, from now on, how many requests wait for a place, and whether any are taken."""
        self.requests_queued.set_function(lambda: admission.waiting)
        self.ready.set_function(lambda: health.is_ready)

    def canary(self, passed: bool) -> None:
        """Counts a canary that was repeated."""
        self.canaries.labels("passed" if passed else "failed").inc()

    def watch(self, registry: Registry, rows: Rows) -> None:
        """Shows, from now on, the concepts of a registry and the rows of a vector bank."""
        self.concepts_registered.set_function(lambda: registry.registered)
        self.vector_rows_used.set_function(lambda: rows.used)
        self.vector_rows_capacity.set(rows.capacity)

    def worker(self, requests: int, slots: int) -> None:
        """Takes what the workers report of their tables."""
        self.worker_requests.set(requests)
        self.worker_slots.set(slots)

    def _observe(self, histogram: Histogram, row: np.ndarray) -> None:
        site = self._pack.readout_site
        for concept in self._concepts:
            i = self._pack.index[concept]
            mean, std = self._pack.reference_mean[i, site], self._pack.reference_std[i, site]
            histogram.labels(concept).observe((row[self._site_index, i, AFTER] - mean) / std)
