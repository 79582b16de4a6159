"""Spans and log records of calls: whose they are, what they say, and what they must not."""

import asyncio
import contextvars
import io
import json
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from support.bare_service import Service, stream, unary
from support.programs import operation
from support.refusals import refused
from support.small_pack import small_pack
from vagus_server.engine.request import EngineRequest, Times
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sink
from vagus_server.errors import ApiError
from vagus_server.steering.program import Program
from vagus_server.telemetry.logs import configure_logging
from vagus_server.telemetry.spans import request_span

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
METADATA = (("traceparent", f"00-{TRACE}-{SPAN}-01"), ("vagus-tenant", "acme"))


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    return exporter


async def nothing(request: Any) -> None:
    pass


def failing(code: grpc.StatusCode, reason: str) -> Service:
    async def act(request: Any) -> None:
        raise ApiError(code, reason, "no")

    return Service(act)


def call(service: Service, method: Any = unary) -> None:
    def act(channel: grpc.Channel) -> None:
        method(channel, metadata=METADATA)

    asyncio.run(service.call(act))


@pytest.mark.parametrize(
    ("method", "name"),
    [
        (unary, "vagus.v1.ModelService/GetModel"),
        (stream, "vagus.v1.GenerationService/StreamGenerate"),
    ],
)
def test_a_call_continues_its_callers_trace(
    spans: InMemorySpanExporter, method: Any, name: str
) -> None:
    call(Service(nothing), method)
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == (name, SpanKind.SERVER)
    assert span.parent is not None
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert f"{span.parent.span_id:016x}" == SPAN
    attributes = dict(span.attributes or {})
    assert len(str(attributes.pop("vagus.request_id"))) == 32
    assert attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": name,
        "rpc.response.status_code": "OK",
        "vagus.tenant": "acme",
    }


def test_calls_without_a_trace_begin_one(spans: InMemorySpanExporter) -> None:
    asyncio.run(Service(nothing).call(lambda channel: unary(channel)))
    asyncio.run(Service(nothing).call(lambda c: unary(c, metadata=(("traceparent", "00-x"),))))
    first, second = spans.get_finished_spans()
    assert first.parent is second.parent is None
    assert first.context is not None
    assert second.context is not None
    assert first.context.trace_id != second.context.trace_id


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        (grpc.StatusCode.NOT_FOUND, "PACK_NOT_FOUND", StatusCode.UNSET),
        (grpc.StatusCode.INTERNAL, "RECEIPT_MISMATCH", StatusCode.ERROR),
    ],
)
def test_only_the_servers_faults_are_errors(
    spans: InMemorySpanExporter, code: grpc.StatusCode, reason: str, status: StatusCode
) -> None:
    service = failing(code, reason)
    asyncio.run(service.call(lambda channel: refused(lambda: unary(channel))))
    (span,) = spans.get_finished_spans()
    assert span.attributes is not None
    assert span.attributes["rpc.response.status_code"] == code.name
    assert span.attributes["error.type"] == reason
    assert span.status.status_code is status


def running(program: Program) -> Running:
    engine: Any = SimpleNamespace(plugin=SimpleNamespace(sites=small_pack().sites))
    sampling = {"max_tokens": 8, "temperature": 0.0, "seed": 3}
    request = EngineRequest("r", [7, 8, 9], sampling, program, adapter="kind")
    return Running(engine, request, Sink((), None))


def test_a_request_has_its_stages_and_says_how_it_was_steered(
    spans: InMemorySpanExporter,
) -> None:
    program = Program((operation(1), operation(2, concept="sad"), operation(3)))
    request = running(program)
    with request_span(request, "tiny", "chat"):
        request.generated, request.finish_reason, request.cached_tokens = 5, "stop", 2
        request.balanced, request.times = True, Times(1.0, 1.5, 3.5, 9.5)
    *stages, whole = spans.get_finished_spans()
    assert whole.name == "chat tiny"
    assert whole.context is not None
    seconds = {}
    for stage in stages:
        assert stage.parent is not None
        assert stage.parent.span_id == whole.context.span_id
        seconds[stage.name] = (length(stage) / 1e9, stage.end_time)
    assert {name: s for name, (s, _) in seconds.items()} == {
        "queue": 0.5, "prefill": 2.0, "decode": 6.0,
    }  # fmt: skip
    (event,) = whole.events
    assert (event.name, event.timestamp) == ("first token", seconds["prefill"][1])
    assert dict(whole.attributes or {}) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vagus",
        "gen_ai.request.model": "kind",
        "gen_ai.request.max_tokens": 8,
        "gen_ai.request.temperature": 0.0,
        "gen_ai.request.seed": 3,
        "gen_ai.response.id": "r",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "vagus.program.digest": program.digest.hex(),
        "vagus.program.operations": 3,
        "vagus.program.concepts": ("calm", "sad"),
        "vagus.program.dose": pytest.approx(0.3),
        "vagus.steered_tokens": 0,
        "vagus.receipt.verified": True,
    }


def length(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


def test_a_request_that_is_cut_off_ends_its_span(spans: InMemorySpanExporter) -> None:
    with pytest.raises(GeneratorExit), request_span(running(Program()), "tiny", "chat"):
        raise GeneratorExit
    (whole,) = spans.get_finished_spans()
    assert whole.attributes is not None
    assert not [key for key in whole.attributes if key.startswith("vagus.")]
    assert "gen_ai.response.finish_reasons" not in whole.attributes


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the server logs in JSON."""
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    root = logging.getLogger()
    before = list(root.handlers)
    configure_logging("json", verbose=False)
    yield written
    logging.captureWarnings(False)
    root.handlers[:] = before


def test_each_call_is_a_json_object_with_its_ids(
    spans: InMemorySpanExporter, log: io.StringIO
) -> None:
    call(Service(nothing))
    asyncio.run(
        failing(grpc.StatusCode.NOT_FOUND, "PACK_NOT_FOUND").call(
            lambda c: refused(lambda: unary(c))
        )
    )
    good, bad = (json.loads(line) for line in log.getvalue().splitlines())
    span = spans.get_finished_spans()[0]
    assert span.context is not None
    assert span.attributes is not None
    assert good["trace_id"] == TRACE
    assert good["span_id"] == f"{span.context.span_id:016x}"
    assert good["request_id"] == span.attributes["vagus.request_id"]
    assert (good["tenant"], good["level"], good["logger"]) == ("acme", "INFO", "vagus.access")
    assert (good["method"], good["code"]) == ("GetModel", "OK")
    assert "reason" not in good
    assert (bad["code"], bad["reason"]) == ("NOT_FOUND", "PACK_NOT_FOUND")
    assert "tenant" not in bad


def test_an_exception_is_part_of_its_object(log: io.StringIO) -> None:
    async def act(request: Any) -> None:
        raise RuntimeError("what happened")

    asyncio.run(Service(act).call(lambda channel: refused(lambda: unary(channel))))
    failure, _ = (json.loads(line) for line in log.getvalue().splitlines())
    assert failure["level"] == "ERROR"
    assert "what happened" in failure["exc_info"]
    assert failure["request_id"] in failure["message"]


def test_libraries_warn_in_the_same_form(log: io.StringIO) -> None:
    library = logging.getLogger("opentelemetry.exporter")
    outside_of_calls = contextvars.Context()
    outside_of_calls.run(library.warning, "nobody takes the spans")
    outside_of_calls.run(library.info, "not of interest")
    (record,) = (json.loads(line) for line in log.getvalue().splitlines())
    assert (record["logger"], record["level"]) == ("opentelemetry.exporter", "WARNING")
    assert "request_id" not in record
