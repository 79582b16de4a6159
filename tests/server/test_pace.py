"""Streams over a real socket whose readers take their time, or do not read at all."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from support.refusals import check_form, refused
from support.small_pack import small_pack
from vagus.v1 import generation_service_pb2 as pb
from vagus_server.engine.request import EngineOutput
from vagus_server.errors import ApiError
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.interceptor import CallInterceptor
from vagus_server.services.pace import MESSAGE_TOKENS, MOST_BEHIND, parts

MESSAGE = pb.StreamGenerateResponse(text="x" * 10_000)
#: The smallest window of HTTP/2's flow control: few messages fill it.
NARROW = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]


class Source(grpc.GenericRpcHandler):
    """Streams as many messages as the request's id says; notes how each stream ended."""

    def __init__(self) -> None:
        self.written: dict[int, int] = {}
        self.closed: dict[int, threading.Event] = {}

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def stream(request: pb.StreamGenerateRequest, context: Any) -> AsyncIterator[Any]:
            count = int(request.spec.request_id)
            self.written[count] = 0
            try:
                for _ in range(count):
                    yield MESSAGE
                    self.written[count] += 1
            finally:
                self.closed.setdefault(count, threading.Event()).set()

        return grpc.unary_stream_rpc_method_handler(
            stream,
            pb.StreamGenerateRequest.FromString,
            pb.StreamGenerateResponse.SerializeToString,
        )


def serve(client: Callable[[str, Source], None], slow_reader_seconds: float) -> dict[str, float]:
    """Runs the client against a server; returns its calls by code."""
    registry = CollectorRegistry()
    metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=registry)

    async def run() -> None:
        interceptor = CallInterceptor(metrics, slow_reader_seconds=slow_reader_seconds)
        server, source = grpc.aio.server(interceptors=[interceptor]), Source()
        server.add_generic_rpc_handlers([source])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            await asyncio.to_thread(client, f"127.0.0.1:{port}", source)
        finally:
            await server.stop(5)

    asyncio.run(run())
    samples = next(m for m in registry.collect() if m.name == "vagus_requests").samples
    return {s.labels["code"]: s.value for s in samples if s.value}


def stream(channel: grpc.Channel, count: int) -> Any:
    call = channel.unary_stream("/vagus.v1.GenerationService/StreamGenerate")
    spec = pb.GenerationSpec(request_id=str(count))
    return call(pb.StreamGenerateRequest(spec=spec).SerializeToString(), timeout=60)


def test_a_reader_that_stands_still_is_ended_and_others_are_not() -> None:
    def client(target: str, source: Source) -> None:
        with (
            grpc.insecure_channel(target, options=NARROW) as narrow,
            grpc.insecure_channel(target) as other,
        ):
            slow = stream(narrow, 5000)
            next(slow)
            assert len(list(stream(other, 300))) == 300
            assert source.closed.setdefault(5000, threading.Event()).wait(30)
            # Its work has ended; what was on the way comes, and then the reason.
            taken = 1
            written = source.written[5000]

            def read() -> None:
                nonlocal taken
                for _ in slow:
                    taken += 1

            refusal = refused(read)
            check_form(refusal)
            assert refusal.info.reason == "READER_TOO_SLOW"
            assert refusal.info.metadata["seconds"] == "2"
            assert written <= taken <= written + 1 < 5000

    assert serve(client, 2) == {"OK": 1, "RESOURCE_EXHAUSTED": 1}


def test_a_reader_that_pauses_gets_everything() -> None:
    def client(target: str, source: Source) -> None:
        with grpc.insecure_channel(target, options=NARROW) as channel:
            call = stream(channel, 200)
            next(call)
            paused = threading.Event()
            paused.wait(0.2)
            assert source.written[200] < 200, "nothing held it up: the test tests nothing"
            assert len(list(call)) == 199

    assert serve(client, 30) == {"OK": 1}


def test_a_reader_that_vanishes_ends_its_stream() -> None:
    def client(target: str, source: Source) -> None:
        channel = grpc.insecure_channel(target, options=NARROW)
        next(stream(channel, 5000))
        channel.close()
        assert source.closed.setdefault(5000, threading.Event()).wait(30)

    assert serve(client, 30) == {"CANCELLED": 1}


def output(tokens: int, *, logprobs: bool = False) -> EngineOutput:
    ids = list(range(tokens))
    return EngineOutput("text", ids, [{i: None} for i in ids] if logprobs else None, "stop", 7, 3)


@pytest.mark.parametrize("tokens", [0, 1, MESSAGE_TOKENS, MESSAGE_TOKENS + 1, MOST_BEHIND])
@pytest.mark.parametrize("logprobs", [False, True])
def test_parts_are_the_whole(tokens: int, logprobs: bool) -> None:
    whole = output(tokens, logprobs=logprobs)
    found = list(parts(whole))
    assert all(len(part.token_ids) <= MESSAGE_TOKENS for part in found)
    assert [i for part in found for i in part.token_ids] == whole.token_ids
    assert "".join(part.text for part in found) == "text"
    assert [part.finish_reason for part in found] == [None] * (len(found) - 1) + ["stop"]
    assert [part.stop_reason for part in found] == [None] * (len(found) - 1) + [7]
    for part in found:
        assert part.cached_tokens == 3
        if part.logprobs is not None:
            assert [list(entry) for entry in part.logprobs] == [[i] for i in part.token_ids]
    assert logprobs == all(part.logprobs is not None for part in found)


def test_a_reader_that_is_too_far_behind_is_ended() -> None:
    with pytest.raises(ApiError) as caught:
        list(parts(output(MOST_BEHIND + 1)))
    assert caught.value.reason == "READER_TOO_SLOW"
    assert caught.value.metadata == {"tokens": str(MOST_BEHIND + 1)}
