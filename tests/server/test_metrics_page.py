"""The metrics page, as Prometheus asks for it."""

from typing import Any

from prometheus_client import CollectorRegistry, Gauge

from vagus_server.metrics.page import metrics_app

#: What Prometheus 2.42 and 3.5 send.
ACCEPTED = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
)


def test_names_with_colons_stay_as_they_are() -> None:
    registry = CollectorRegistry()
    Gauge("vllm:kv_cache_usage_perc", "Of vLLM.", registry=registry)
    for accepted in ACCEPTED:
        headers: list[tuple[str, str]] = []

        def start(status: str, given: Any) -> None:
            headers.extend(given)  # noqa: B023

        asked = {"HTTP_ACCEPT": accepted, "PATH_INFO": "/metrics", "REQUEST_METHOD": "GET"}
        lines = b"".join(metrics_app(registry)(asked, start)).decode().splitlines()
        assert "vllm:kv_cache_usage_perc 0.0" in lines
        assert dict(headers)["Content-Type"].startswith("text/plain")
