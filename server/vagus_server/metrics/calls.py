"""Calls by method and status, and why calls were refused."""

import grpc
from prometheus_client import CollectorRegistry, Counter, Histogram

from vagus.v1.error_reason_pb2 import ErrorReason
from vagus_server.api import METHOD_NAMES
from vagus_server.metrics.buckets import LATENCY

_PREFIX = "ERROR_REASON_"


class Calls:
    """What gRPC's callers saw."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "vagus_requests",
            "Calls by method and gRPC code.",
            ["method", "code"],
            registry=registry,
        )
        self.duration = Histogram(
            "vagus_request_duration_seconds",
            "Time from a call's arrival to its status.",
            ["method"],
            buckets=LATENCY,
            registry=registry,
        )
        self.errors = Counter(
            "vagus_errors",
            "Calls that ended with an error of the API, by its reason.",
            ["reason"],
            registry=registry,
        )
        for method in METHOD_NAMES:
            self.duration.labels(method)
            for code in grpc.StatusCode:
                self.requests.labels(method, code.name)
        for name in ErrorReason.keys()[1:]:
            self.errors.labels(name.removeprefix(_PREFIX))

    def ended(self, method: str, code: str, seconds: float, reason: str = "") -> None:
        """Counts a call; `reason` is the error's, of error_reason.proto, if it had one."""
        self.requests.labels(method, code).inc()
        self.duration.labels(method).observe(seconds)
        if reason:
            self.errors.labels(reason).inc()
