"""The caller's OpenTelemetry trace, where there is one, goes along with every call."""

try:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # tracing is the caller's choice
    _propagator = None
else:
    _propagator = TraceContextTextMapPropagator()


def trace_metadata() -> tuple[tuple[str, str], ...]:
    """`traceparent` and `tracestate` of the current span; empty without one."""
    carrier: dict[str, str] = {}
    if _propagator is not None:
        _propagator.inject(carrier)
    return tuple(carrier.items())
