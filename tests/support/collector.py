"""An OpenTelemetry collector: takes spans over OTLP and keeps them."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Runs while the block does; `spans` are what came, `endpoint` is where to send them."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []

    def __enter__(self) -> Self:
        self._server = grpc.server(ThreadPoolExecutor(2))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self.endpoint = f"http://127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(1).wait()

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes a batch."""
        for group in request.resource_spans:
            attributes = group.resource.attributes
            self.resources.append({a.key: a.value.string_value for a in attributes})
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def of_trace(self, trace_id: str) -> dict[str, Any]:
        """The spans of a trace, by name."""
        return {span.name: span for span in self.spans if span.trace_id.hex() == trace_id}
