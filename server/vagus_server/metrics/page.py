"""The metrics page."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app

_Page = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def metrics_app(registry: CollectorRegistry = REGISTRY) -> _Page:
    """The page as a WSGI application, always in Prometheus's plain text format.

    Asked for OpenMetrics, as Prometheus 2 asks, the client library writes `vllm:x` as `vllm_x`,
    and whatever asks for vLLM's metrics by their names finds nothing.
    """
    page = make_wsgi_app(registry)

    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        return page({**environment, "HTTP_ACCEPT": "text/plain"}, start)

    return answer
