"""A real run as an operator sees it: its traces, its log, and what Prometheus makes of it."""

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.collector import Collector
from support.prometheus_process import PrometheusProcess
from support.promql import DEPLOY
from support.server_process import ServerProcess
from support.waiting import wait_for
from vagus import Client, VagusError, add

pytestmark = pytest.mark.engine

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TOKENS = 12
#: Nothing of the kind happens in this run.
EMPTY = {"vagus_steering: Policies"}


class Observed:
    """A server, whatever it sends spans to, and the traffic that it had."""

    def __init__(self, server: ServerProcess, collector: Collector) -> None:
        self.server, self.collector = server, collector

    def talk(self) -> None:
        """A steered generation in its caller's trace, two plain ones, a reading, a refusal."""
        with Client(self.server.target, tenant="acme") as client:
            self._traced(client)
            client.generate("They are late.", max_tokens=TOKENS, seed=1)
            client.read("They are late and nobody answers.", ["calm"])
            with pytest.raises(VagusError, match="did you mean calm"):
                client.generate("Hi", program=[add("clam", 0.1)])
        with Client(self.server.target) as client:
            client.generate("They are late.", max_tokens=TOKENS, seed=2)

    def _traced(self, client: Client) -> None:
        from opentelemetry import trace

        here = trace.SpanContext(
            int(TRACE, 16), int(SPAN, 16), is_remote=False, trace_flags=trace.TraceFlags(1)
        )
        with trace.use_span(trace.NonRecordingSpan(here)):
            result = client.generate(
                "My exam is tomorrow.", program=[add("calm", 0.1)], max_tokens=TOKENS
            )
        self.request_id = result.request_id
        self.usage = result.usage


@pytest.fixture(scope="module")
def observed(model_folder: Path) -> Iterator[Observed]:
    with Collector() as collector:
        options = ("--log-format", "json", "--otlp-endpoint", collector.endpoint)
        sizes = ("--max-model-len", "128", "--max-running", "8", "--metric-tenants", "acme")
        with ServerProcess(*options, *sizes) as server:
            yield Observed(server, collector)


@pytest.fixture(scope="module")
def prometheus(
    observed: Observed, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PrometheusProcess | None]:
    """Scrapes before and after the traffic; None where it is not installed."""
    if shutil.which("prometheus") is None:
        observed.talk()
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    with PrometheusProcess(observed.server.metrics_target, folder) as running:
        # Rates need a scrape from before.
        wait_for(lambda: bool(running.query("vagus_build_info")), "the first scrape", 120)
        observed.talk()
        yield running


@pytest.fixture
def scraped(prometheus: PrometheusProcess | None) -> PrometheusProcess:
    if prometheus is None:
        pytest.skip("prometheus is not installed (Debian: prometheus)")
    return prometheus


def attributes(span: Any) -> dict[str, Any]:
    kinds = ((a.key, a.value.WhichOneof("value"), a.value) for a in span.attributes)
    return {key: getattr(value, kind) for key, kind, value in kinds}


def test_a_trace_goes_from_the_caller_to_the_last_token(
    observed: Observed, prometheus: PrometheusProcess | None
) -> None:
    request = "text_completion smollm2-135m-instruct"
    call = "vagus.v1.GenerationService/Generate"
    names = {call, request, "queue", "prefill", "decode"}
    wait_for(lambda: set(observed.collector.of_trace(TRACE)) == names, "the spans")
    spans = observed.collector.of_trace(TRACE)
    assert spans[call].parent_span_id.hex() == SPAN
    assert spans[request].parent_span_id == spans[call].span_id
    stages = [spans[name] for name in ("queue", "prefill", "decode")]
    assert {stage.parent_span_id for stage in stages} == {spans[request].span_id}
    for before, after in itertools.pairwise(stages):
        assert before.start_time_unix_nano <= before.end_time_unix_nano
        assert before.end_time_unix_nano == after.start_time_unix_nano
    assert attributes(spans[call])["vagus.request_id"] == observed.request_id
    told = attributes(spans[request])
    assert told["gen_ai.usage.input_tokens"] == observed.usage.prompt_tokens
    assert told["gen_ai.usage.output_tokens"] == TOKENS
    assert told["vagus.receipt.verified"] is True
    assert told["vagus.program.dose"] == pytest.approx(0.1)
    assert "exam" not in str(spans)
    assert observed.collector.resources[0]["service.name"] == "vagus"


def test_the_log_is_json_and_has_the_trace(
    observed: Observed, prometheus: PrometheusProcess | None
) -> None:
    lines = "".join(observed.server.output).splitlines()
    records = [json.loads(line) for line in lines if line.startswith("{")]
    (record,) = [r for r in records if r.get("request_id") == observed.request_id]
    assert record["trace_id"] == TRACE
    assert (record["code"], record["tenant"]) == ("OK", "acme")
    refused = [r["reason"] for r in records if "reason" in r]
    assert refused == ["CONCEPT_NOT_FOUND"]
    assert "exam" not in "".join(lines)


def test_every_rule_and_every_panel_has_its_data(scraped: PrometheusProcess) -> None:
    # Rates need two scrapes, and a look of the rules at both.
    wait_for(lambda: empty_panels(scraped) <= EMPTY, "every panel to have its data", 120)
    drift = 'job_tenant:vagus_concept_z:drift1h{tenant="acme"}'
    assert scraped.query(drift)
    for group in scraped.get("rules")["groups"]:
        for rule in group["rules"]:
            assert rule["health"] == "ok", rule
    # Others depend on how busy the machine is.
    firing = {alert["labels"]["alertname"] for alert in scraped.get("alerts")["alerts"]}
    assert not firing & {"VagusReceiptFailed", "VagusCanaryFailed", "VagusReadoutNotFinite"}
    assert empty_panels(scraped) == EMPTY


def empty_panels(prometheus: PrometheusProcess) -> set[str]:
    """Panels of which no query has a result."""
    empty = set()
    values = {"$__rate_interval": "1h", "$job": "vagus", "$tenant": ".*", "$concept": ".*"}
    values["$few"] = "calm|desperate"
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            found = {}
            for target in panel["targets"]:
                expr = target["expr"]
                for name, value in values.items():
                    expr = expr.replace(name, value)
                found |= prometheus.query(expr)
            if not found:
                empty.add(f"{file.stem}: {panel['title']}")
    return empty


def test_what_prometheus_counts_is_what_happened(
    observed: Observed, scraped: PrometheusProcess
) -> None:
    (concepts,) = scraped.query("count(job_concept:vagus_concept_z:mean5m)").values()
    assert concepts == 171
    tokens = 'sum(vagus_tenant_tokens_total{tenant="acme", kind="generated"})'
    wait_for(lambda: list(scraped.query(tokens).values()) == [2 * TOKENS], "the last scrape", 120)
    (verified,) = scraped.query('vagus_receipts_total{outcome="verified"}').values()
    assert verified == 1
    (refused,) = scraped.query('vagus_errors_total{reason="CONCEPT_NOT_FOUND"}').values()
    assert refused == 1


def test_the_dashboards_can_be_drawn(scraped: PrometheusProcess, tmp_path: Path) -> None:
    command = [sys.executable, str(DEPLOY / "grafana/draw.py"), "--prometheus", scraped.url]
    options = ["--minutes", "1", "--scrape-interval", "1", "--out", str(tmp_path)]
    subprocess.run([*command, *options], check=True)
    pictures = sorted(path.stem for path in tmp_path.glob("*.png"))
    assert pictures == ["vagus_emotions", "vagus_service", "vagus_steering"]
