"""Sends traces to an OpenTelemetry collector; without one, spans cost nothing."""

from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased


def start_tracing(endpoint: str, share: float, model: str) -> TracerProvider:
    """Sets the process's tracer provider. Call `shutdown` of it to send what is left.

    Args:
        endpoint: of an OTLP collector (gRPC); plaintext where it begins with http://.
        share: of the traces that begin here, from 0 to 1; a caller's own decision is followed.
        model: name of the served model.
    """
    resource = Resource.create(
        {
            "service.name": "vagus",
            "service.version": version("vagus-server"),
            "vagus.model": model,
        }
    )
    provider = TracerProvider(resource=resource, sampler=ParentBased(TraceIdRatioBased(share)))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    trace.set_tracer_provider(provider)
    return provider
