"""Metrics: every series from the start, and gauges that return to 0."""

from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from support.programs import operation
from support.small_pack import small_pack
from vagus_server.engine.request import EngineRequest, Times
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sink, Sinks, Span
from vagus_server.metrics.labels import NO_TENANT, OTHER_CONCEPTS, OTHER_TENANTS
from vagus_server.metrics.metrics import FREE_TENANTS, Metrics
from vagus_server.readouts.render import AFTER
from vagus_server.steering.program import Program

PACK = small_pack()
METHODS = (
    "Generate", "StreamGenerate", "ReadText", "ListConcepts", "GetConcept", "ListPacks",
    "GetPack", "ListModels", "GetModel", "UploadConcept", "DeleteConcept",
)  # fmt: skip
CALM = operation(0, 3, a=(1.0, -1.0), doses=(0.5, -0.25))
PROGRAM = Program((CALM, operation(1, concept="sad")))


class Watched(Metrics):
    """Metrics in a registry of their own; `self[...]` reads a sample."""

    def __init__(
        self, concepts: tuple[str, ...] = tuple(PACK.names), tenants: tuple[str, ...] = ()
    ) -> None:
        self.registry = CollectorRegistry()
        super().__init__(PACK, concepts, "tiny", slots=64, tenants=tenants, registry=self.registry)

    def samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self.samples()[name, frozenset(labels.items())]

    def bucket(self, name: str, concept: str) -> tuple[float, float]:
        """Bounds of the bucket of a histogram's only observation (it has no sum: z may be < 0)."""
        buckets = sorted(
            (float(dict(labels)["le"]), value)
            for (sample, labels), value in self.samples().items()
            if sample == f"{name}_bucket" and dict(labels)["concept"] == concept
        )
        assert buckets[-1] == (np.inf, 1)
        return (
            max((bound for bound, value in buckets if value == 0), default=-np.inf),
            min(bound for bound, value in buckets if value == 1),
        )


@pytest.fixture
def metrics() -> Watched:
    return Watched()


def running_request(
    program: Program = PROGRAM, tokens: int = 3, tenant: str = "", monitor: bool = True
) -> tuple[Running, Sinks]:
    sinks, sink = Sinks((1, len(PACK.names), 2), PACK.sites), Sink((), tokens - 1)
    sinks.open("r", sink)
    engine: Any = SimpleNamespace(plugin=SimpleNamespace(sites=PACK.sites))
    ids = list(range(tokens))
    request = EngineRequest("r", ids, {}, program, tenant=tenant, monitor=monitor)
    return Running(engine, request, sink), sinks


def test_every_series_exists_at_zero_from_the_start(metrics: Watched) -> None:
    """A rate over a series that appears with its first event misses that event."""
    samples = metrics.samples()
    for method in METHODS:
        for code in grpc.StatusCode:
            labels = frozenset({("method", method), ("code", code.name)})
            assert samples["vagus_requests_total", labels] == 0
        assert metrics.value("vagus_request_duration_seconds_count", method=method) == 0
    for outcome in ("verified", "failed"):
        assert metrics.value("vagus_receipts_total", outcome=outcome) == 0
    for reason in ("QUEUE_FULL", "RECEIPT_MISMATCH", "INTERNAL"):
        assert metrics.value("vagus_errors_total", reason=reason) == 0
    for tenant in (NO_TENANT, OTHER_TENANTS):
        assert metrics.value("vagus_tenant_turns_total", tenant=tenant) == 0
    for name in ("turn_mean_z", "last_prompt_token_z", "dose_ratio"):
        for concept in PACK.names:
            assert metrics.value(f"vagus_concept_{name}_count", concept=concept) == 0
    constants = {"vagus_program_slots_capacity": 64, "vagus_build_info": 1}
    assert {name: v for (name, _), v in samples.items() if v} == constants


def test_no_series_appears_later(metrics: Watched) -> None:
    before = set(metrics.samples())
    for method in METHODS:
        metrics.request(method, "INTERNAL", 0.1, "RECEIPT_MISMATCH")
    with metrics.running(PROGRAM) as progress:
        progress.tokens(2, 0.1)
        progress.tokens(2, 0.2)
    request, sinks = running_request()
    request.balanced, request.finish_reason = True, "length"
    request.times = Times(1.0, 2.0, 3.0, 4.0)
    request.sink.turn_sum = request.sink.last_prompt_token = np.ones((1, 4, 2))
    request.sink.turn_tokens = 1
    metrics.finished(request, sinks)
    metrics.worker(1, 1)
    metrics.canary(passed=True)
    assert set(metrics.samples()) == before


def gauges(metrics: Watched) -> tuple[float, float, float]:
    """Waiting, running and programs."""
    names = ("requests_waiting", "requests_running", "program_slots_used")
    waiting, running, programs = (metrics.value(f"vagus_{name}") for name in names)
    return waiting, running, programs


def test_a_request_waits_and_then_runs(metrics: Watched) -> None:
    with metrics.running(PROGRAM) as progress:
        assert gauges(metrics) == (1, 0, 1)
        progress.tokens(0, 0.1)
        assert gauges(metrics) == (1, 0, 1)
        progress.tokens(1, 0.5)
        assert gauges(metrics) == (0, 1, 1)
        progress.tokens(4, 0.9)
    assert gauges(metrics) == (0, 0, 0)
    assert metrics.value("vagus_generated_tokens_total") == 5
    assert metrics.value("vagus_time_to_first_token_seconds_count") == 1
    assert metrics.value("vagus_inter_token_latency_seconds_count") == 4
    assert metrics.value("vagus_inter_token_latency_seconds_sum") == pytest.approx(0.4)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
@pytest.mark.parametrize("tokens", [0, 1])
def test_gauges_return_to_zero_after_errors(
    metrics: Watched, tokens: int, error: type[BaseException]
) -> None:
    def fail() -> None:
        with metrics.running(PROGRAM) as progress:
            progress.tokens(tokens, 0.1)
            raise error

    with pytest.raises(error):
        fail()
    assert gauges(metrics) == (0, 0, 0)


def test_slots_count_distinct_programs(metrics: Watched) -> None:
    other = Program((CALM,))
    with metrics.running(PROGRAM), metrics.running(Program()):
        with metrics.running(PROGRAM), metrics.running(other):
            assert gauges(metrics) == (4, 0, 2)
        assert gauges(metrics) == (2, 0, 1)
    assert gauges(metrics) == (0, 0, 0)


@pytest.mark.parametrize(
    ("balanced", "verified", "failed"), [(True, 1, 0), (False, 0, 1), (None, 0, 0)]
)
def test_receipts_by_outcome(
    metrics: Watched, balanced: bool | None, verified: int, failed: int
) -> None:
    request, sinks = running_request()
    request.balanced = balanced
    metrics.read(request, sinks)
    assert metrics.value("vagus_receipts_total", outcome="verified") == verified
    assert metrics.value("vagus_receipts_total", outcome="failed") == failed


def test_requests_without_a_program_have_no_receipt(metrics: Watched) -> None:
    request, sinks = running_request(Program())
    request.balanced = True
    metrics.read(request, sinks)
    assert metrics.value("vagus_receipts_total", outcome="verified") == 0
    assert metrics.value("vagus_prompt_tokens_total") == 3


def test_steered_tokens_are_those_that_the_device_marked(metrics: Watched) -> None:
    request, sinks = running_request(tokens=5)
    marks = np.zeros((5, PACK.sites), dtype=np.int32)
    marks[2:, 1] = 2
    request.ledger.add(0, 5, marks, np.zeros(0, dtype=np.float32))
    metrics.read(request, sinks)
    assert metrics.value("vagus_steered_tokens_total") == 3


def test_doses_per_concept(metrics: Watched) -> None:
    request, sinks = running_request()
    metrics.read(request, sinks)
    assert metrics.value("vagus_concept_dose_ratio_sum", concept="calm") == pytest.approx(0.75)
    assert metrics.value("vagus_concept_dose_ratio_sum", concept="sad") == pytest.approx(0.1)
    assert metrics.value("vagus_concept_dose_ratio_count", concept="happy") == 0


def test_concepts_that_were_not_chosen_get_no_series() -> None:
    metrics = Watched(("calm",))
    request, sinks = running_request()
    request.sink.last_prompt_token = np.ones((1, 4, 2))
    metrics.finished(request, sinks)
    labels = {dict(labels).get("concept") for _, labels in metrics.samples()}
    assert labels == {None, "calm", OTHER_CONCEPTS}
    # Uploaded and inline concepts have doses, and names that nobody bounds.
    doses = "vagus_concept_dose_ratio_sum"
    assert metrics.value(doses, concept="calm") == pytest.approx(0.75)
    assert metrics.value(doses, concept=OTHER_CONCEPTS) == pytest.approx(0.1)


def test_readouts_are_observed_as_z_scores_after_steering(metrics: Watched) -> None:
    request, sinks = running_request()
    row = np.arange(8, dtype=np.float32).reshape(1, 4, 2)
    nothing = Span(2, 3, np.zeros((0, 4), dtype=np.int32), np.zeros(0, dtype=np.float32))
    request.sink.feed(nothing, [2, 3, 4], np.stack([row, 2 * row, 0 * row]))
    request.sink.settle(5)
    metrics.finished(request, sinks)
    site = PACK.readout_site
    for i, concept in enumerate(PACK.names):
        mean, deviation = PACK.reference_mean[i, site], PACK.reference_std[i, site]
        expected = (row[0, i, AFTER] - mean) / deviation
        for name in ("vagus_concept_turn_mean_z", "vagus_concept_last_prompt_token_z"):
            lowest, highest = metrics.bucket(name, concept)
            assert lowest < expected <= highest


def test_readout_bytes_count_what_came_since(metrics: Watched) -> None:
    request, sinks = running_request()
    for total in (100, 150):
        sinks.readout_bytes = total
        metrics.read(request, sinks)
        assert metrics.value("vagus_readout_bytes_total") == total


def test_workers_and_build(metrics: Watched) -> None:
    metrics.worker(3, 2)
    assert metrics.value("vagus_worker_requests") == 3
    assert metrics.value("vagus_worker_program_slots_used") == 2
    (labels,) = (dict(found) for name, found in metrics.samples() if name == "vagus_build_info")
    assert labels["model"] == "tiny"
    assert set(labels) == {"version", "vllm_version", "model"}


@pytest.mark.parametrize(("program", "kind"), [(PROGRAM, "steered"), (Program(), "plain")])
def test_prefix_cache_lookups_by_kind(metrics: Watched, program: Program, kind: str) -> None:
    for cached in (None, 0, 32):  # None: the prompt was read, so the cache was not asked
        request, sinks = running_request(program, tokens=40)
        request.cached_tokens = cached
        metrics.finished(request, sinks)
    assert metrics.value("vagus_prefix_cache_queries_total", kind=kind) == 80
    assert metrics.value("vagus_prefix_cache_hits_total", kind=kind) == 32
    other = {"steered": "plain", "plain": "steered"}[kind]
    assert metrics.value("vagus_prefix_cache_queries_total", kind=other) == 0


def turn(metrics: Watched, tenant: str, row: np.ndarray) -> None:
    """A generation of one token whose turn has the row [concepts]."""
    request, sinks = running_request(tenant=tenant)
    request.sink.turn_sum, request.sink.turn_tokens = np.repeat(row[None, :, None], 2, axis=2), 1
    request.generated = 1
    metrics.finished(request, sinks)


def test_a_tenants_mean_is_the_difference_of_two_counters(metrics: Watched) -> None:
    site = PACK.readout_site
    mean, deviation = PACK.reference_mean[:, site], PACK.reference_std[:, site]
    for z in (2.0, -0.5):
        turn(metrics, "acme", mean + z * deviation)
    name = "vagus_tenant_concept_z_total"
    for concept in PACK.names:
        labels = {"tenant": "acme", "concept": concept}
        assert metrics.value(name, sign="positive", **labels) == pytest.approx(2)
        assert metrics.value(name, sign="negative", **labels) == pytest.approx(0.5)
    assert metrics.value("vagus_tenant_turns_total", tenant="acme") == 2
    assert metrics.value("vagus_tenant_turns_total", tenant=NO_TENANT) == 0


def test_a_readout_that_is_not_finite_spoils_no_sum(metrics: Watched) -> None:
    turn(metrics, "", np.full(len(PACK.names), np.nan))
    turn(metrics, "", PACK.reference_mean[:, PACK.readout_site])
    assert metrics.value("vagus_tenant_turns_total", tenant=NO_TENANT) == 1
    assert all(np.isfinite(value) for value in metrics.samples().values())


def tenants(metrics: Watched) -> set[str]:
    return {dict(labels)["tenant"] for _, labels in metrics.samples() if "tenant" in dict(labels)}


def test_tenants_beyond_the_first_share_a_label(metrics: Watched) -> None:
    names = [f"tenant-{i}" for i in range(FREE_TENANTS + 3)]
    for name in names * 2:
        request, sinks = running_request(tenant=name)
        request.generated = 4
        metrics.read(request, sinks)
    assert tenants(metrics) == {NO_TENANT, OTHER_TENANTS, *names[:FREE_TENANTS]}
    tokens = "vagus_tenant_tokens_total"
    assert metrics.value(tokens, tenant=names[0], kind="generated") == 8
    assert metrics.value(tokens, tenant=OTHER_TENANTS, kind="generated") == 3 * 8
    assert metrics.value(tokens, tenant=OTHER_TENANTS, kind="prompt") == 3 * 2 * 3


def test_named_tenants_are_the_only_ones_with_a_label() -> None:
    metrics = Watched(tenants=("acme",))
    assert tenants(metrics) == {NO_TENANT, OTHER_TENANTS, "acme"}
    for name in ("globex", "acme"):
        turn(metrics, name, np.zeros(len(PACK.names)))
    assert tenants(metrics) == {NO_TENANT, OTHER_TENANTS, "acme"}
    assert metrics.value("vagus_tenant_turns_total", tenant="acme") == 1
    assert metrics.value("vagus_tenant_turns_total", tenant=OTHER_TENANTS) == 1


def test_a_reading_generates_nothing_for_its_tenant(metrics: Watched) -> None:
    request, sinks = running_request(tenant="acme", monitor=False)
    request.generated = 1
    metrics.read(request, sinks)
    assert metrics.value("vagus_tenant_tokens_total", tenant="acme", kind="generated") == 0
    assert metrics.value("vagus_tenant_tokens_total", tenant="acme", kind="prompt") == 3


def test_times_in_the_engine(metrics: Watched) -> None:
    request, sinks = running_request()
    metrics.read(request, sinks)  # ended before it had any
    request.times = Times(10.0, 10.5, 12.5, 13.0)
    metrics.read(request, sinks)
    for name, seconds in (("engine_queue", 0.5), ("prefill", 2.0)):
        assert metrics.value(f"vagus_{name}_duration_seconds_count") == 1
        assert metrics.value(f"vagus_{name}_duration_seconds_sum") == seconds


@pytest.mark.parametrize(("program", "kind"), [(PROGRAM, "steered"), (Program(), "plain")])
@pytest.mark.parametrize("finish", ["stop", "length", None])
def test_generations_by_how_they_end(
    metrics: Watched, program: Program, kind: str, finish: str | None
) -> None:
    request, sinks = running_request(program)
    request.finish_reason = finish
    metrics.finished(request, sinks)
    ended = {
        labels: v
        for (n, labels), v in metrics.samples().items()
        if n == "vagus_generations_total" and v
    }
    assert ended == {frozenset({("kind", kind), ("finish", finish or "none")}): 1}


def test_operations_by_action_and_doses_of_programs(metrics: Watched) -> None:
    request, sinks = running_request()
    metrics.read(request, sinks)
    assert metrics.value("vagus_operations_total", action="add", gated="no") == 2
    assert metrics.value("vagus_program_dose_ratio_sum") == pytest.approx(0.85)


def test_errors_by_reason(metrics: Watched) -> None:
    metrics.request("Generate", "RESOURCE_EXHAUSTED", 0.1, "QUEUE_FULL")
    metrics.request("Generate", "OK", 0.1)
    assert metrics.value("vagus_errors_total", reason="QUEUE_FULL") == 1


def test_the_canary(metrics: Watched) -> None:
    metrics.canary(passed=False)
    assert metrics.value("vagus_canary_last_pass_timestamp_seconds") == 0
    metrics.canary(passed=True)
    assert metrics.value("vagus_canary_last_pass_timestamp_seconds") > 0
    for outcome in ("passed", "failed"):
        assert metrics.value("vagus_canaries_total", outcome=outcome) == 1
