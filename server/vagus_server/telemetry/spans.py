"""Spans of a call and of a request in the engine, by OpenTelemetry's conventions.

A call's span is the child of its caller's (`traceparent` in the metadata); the request's span
is the call's child and has one child each for the time in the queue, to the first token and
from there to the last. No span holds text of a prompt or an answer. Names of attributes are
literals: the package of their constants is in beta and drops some.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vagus_server.engine.request import EngineRequest
from vagus_server.engine.running import Running
from vagus_server.services.context import Call

_tracer = trace.get_tracer("vagus_server")
_propagator = TraceContextTextMapPropagator()
_TRACE_KEYS = ("traceparent", "tracestate")
#: By the conventions of RPC, the other codes are the caller's doing.
_FAULTS = (
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
)


def start_call(path: str, metadata: Any) -> Span:
    """Starts a call's span and makes it current for the rest of the task.

    Args:
        path: of the method, "/package.Service/Method".
        metadata: the caller's.
    """
    carrier = {key: value for key, value in metadata or () if key in _TRACE_KEYS}
    name = path.removeprefix("/")
    span = _tracer.start_span(
        name,
        _propagator.extract(carrier),
        SpanKind.SERVER,
        {"rpc.system.name": "grpc", "rpc.method": name},
    )
    # Each call has a task of its own, whose context ends with it.
    otel_context.attach(trace.set_span_in_context(span))
    return span


def end_call(span: Span, call: Call, code: grpc.StatusCode, reason: str) -> None:
    """Ends a call's span; `reason` is its error's, if it had one."""
    span.set_attribute("rpc.response.status_code", code.name)
    span.set_attribute("vagus.request_id", call.request_id)
    if call.tenant:
        span.set_attribute("vagus.tenant", call.tenant)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", reason or code.name)
    if code in _FAULTS:
        span.set_status(Status(StatusCode.ERROR))
    span.end()


@contextmanager
def request_span(running: Running, model: str, operation: str) -> Iterator[None]:
    """A span around a request in the engine.

    Args:
        running: the request; what it brought is told when the block ends.
        model: name under which it is served.
        operation: by the conventions of GenAI.
    """
    span = _tracer.start_span(f"{operation} {model}")
    if not span.is_recording():
        yield
        return
    span.set_attributes(_request_attributes(running.request, model, operation))
    try:
        yield
    finally:
        span.set_attributes(_result_attributes(running))
        _stages(span, running)
        span.end()


def _request_attributes(request: EngineRequest, model: str, operation: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": "vagus",
        "gen_ai.request.model": request.adapter or model,
        "gen_ai.response.id": request.request_id,
        "gen_ai.usage.input_tokens": len(request.token_ids),
    }
    for name, key in (
        ("max_tokens", "gen_ai.request.max_tokens"),
        ("temperature", "gen_ai.request.temperature"),
        ("top_p", "gen_ai.request.top_p"),
        ("top_k", "gen_ai.request.top_k"),
        ("seed", "gen_ai.request.seed"),
    ):
        if (value := request.sampling.get(name)) is not None:
            attributes[key] = value
    if program := request.program:
        concepts = dict.fromkeys(operation.concept for operation in program.operations)
        attributes |= {
            "vagus.program.digest": program.digest.hex(),
            "vagus.program.operations": len(program.operations),
            "vagus.program.concepts": list(concepts),
            "vagus.program.dose": program.dose,
        }
    return attributes


def _result_attributes(running: Running) -> dict[str, Any]:
    attributes: dict[str, Any] = {"gen_ai.usage.output_tokens": running.generated}
    if running.finish_reason is not None:
        attributes["gen_ai.response.finish_reasons"] = [running.finish_reason]
    if running.cached_tokens is not None:
        attributes["gen_ai.usage.cache_read.input_tokens"] = running.cached_tokens
    if running.steered:
        steered = running.ledger.steered_tokens(running.processed_end)
        attributes["vagus.steered_tokens"] = steered
        if running.balanced is not None:
            attributes["vagus.receipt.verified"] = running.balanced
    return attributes


def _stages(span: Span, running: Running) -> None:
    times = running.times
    if times is None:
        return
    # The engine's clock is the machine's monotonic one; spans have the time of day.
    offset = time.time_ns() - time.monotonic_ns()
    context = trace.set_span_in_context(span)
    stages = (
        ("queue", times.queued, times.scheduled),
        ("prefill", times.scheduled, times.first_token),
        ("decode", times.first_token, times.last_token),
    )
    for name, start, end in stages:
        stage = _tracer.start_span(name, context, start_time=int(start * 1e9) + offset)
        stage.end(int(end * 1e9) + offset)
    span.add_event("first token", timestamp=int(times.first_token * 1e9) + offset)
