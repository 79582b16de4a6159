"""Whatever a handler raises becomes one status that says enough, and not too much."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import grpc
import pytest

from support.bare_service import Service, stream, unary
from support.refusals import Refused, check_form, refused
from vagus_server.engine.failures import EngineUnavailable, ReceiptMismatch
from vagus_server.errors import ApiError
from vagus_server.services import messages
from vagus_server.services.context import current_call
from vagus_server.steering.receipt import Mismatch

SECRET = "/srv/models/secret.safetensors of tenant acme"


def raising(error: BaseException) -> Callable[[Any], Awaitable[None]]:
    async def act(request: Any) -> None:
        raise error

    return act


def fail(error: BaseException) -> list[tuple[Refused, dict[str, float]]]:
    """How the error looks from outside, from both kinds of methods."""
    results = []
    for method, call in (("GetModel", unary), ("StreamGenerate", stream)):
        service = Service(raising(error))
        refusal = asyncio.run(service.call(lambda c: refused(lambda: call(c))))  # noqa: B023
        check_form(refusal)
        results.append((refusal, service.counted(method)))
    return results


def test_an_api_error_arrives_as_it_is() -> None:
    error = ApiError(grpc.StatusCode.NOT_FOUND, "PACK_NOT_FOUND", "no é", pack="é\n🙂")
    for refusal, counted in fail(error):
        assert (refusal.info.reason, refusal.message) == ("PACK_NOT_FOUND", "no é")
        assert refusal.info.metadata["pack"] == "é\n🙂"
        assert counted == {"NOT_FOUND": 1}


def test_a_dead_engine_is_unavailable() -> None:
    for refusal, counted in fail(EngineUnavailable(SECRET)):
        assert refusal.info.reason == "ENGINE_UNAVAILABLE"
        assert "secret" not in str(refusal.status)
        assert counted == {"UNAVAILABLE": 1}


def test_a_receipt_that_does_not_balance_says_where() -> None:
    for refusal, counted in fail(ReceiptMismatch(Mismatch(1, 15, 20, 19))):
        assert refusal.info.reason == "RECEIPT_MISMATCH"
        assert dict(refusal.info.metadata) == {
            "operation": "1", "site": "15", "expected": "20", "counted": "19",
        }  # fmt: skip
        assert counted == {"INTERNAL": 1}


@pytest.mark.parametrize(
    "error", [RuntimeError(SECRET), ValueError(SECRET), ExceptionGroup("g", [OSError(SECRET)])]
)
def test_the_unforeseen_is_logged_and_not_told(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    for refusal, counted in fail(error):
        assert refusal.info.reason == "INTERNAL"
        assert "secret" not in str(refusal.status)
        assert counted == {"INTERNAL": 1}
        logged = [r for r in caplog.records if refusal.request_id in r.getMessage()]
        assert SECRET in caplog.handler.format(logged[0])


def test_good_calls_are_counted_and_named() -> None:
    ids = []

    async def act(request: Any) -> None:
        ids.append(current_call.get().request_id)

    service = Service(act)

    def calls(channel: grpc.Channel) -> str:
        method = channel.unary_unary("/vagus.v1.ModelService/GetModel")
        _, call = method.with_call(b"", timeout=30)
        stream(channel)
        return dict(call.trailing_metadata())["vagus-request-id"]

    assert asyncio.run(service.call(calls)) == ids[0] != ids[1]
    assert service.counted("GetModel") == service.counted("StreamGenerate") == {"OK": 1}


def test_wrong_messages_never_reach_a_handler() -> None:
    async def act(request: Any) -> None:
        raise AssertionError("reached")

    service = Service(act)
    for data, reason in ((b"\xff", "FIELD_INVALID"), (b"\x7a\x01x", "NOT_IMPLEMENTED")):
        call = service.call(lambda c: refused(lambda: unary(c, data)))  # noqa: B023
        assert asyncio.run(call).info.reason == reason
    assert service.counted("GetModel") == {"INVALID_ARGUMENT": 1, "UNIMPLEMENTED": 1}


def test_a_call_without_its_message_is_answered() -> None:
    async def act(request: Any) -> None:
        raise AssertionError("reached")

    def call(channel: grpc.Channel) -> list[bytes]:
        method = channel.stream_stream("/vagus.v1.ModelService/GetModel")
        return list(method(iter(()), timeout=30))

    service = Service(act)
    refusal = asyncio.run(service.call(lambda c: refused(lambda: call(c))))
    assert (refusal.code, refusal.info.reason) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_INVALID",
    )
    assert service.counted("GetModel") == {"INVALID_ARGUMENT": 1}


def test_a_message_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def act(request: Any) -> None:
        raise AssertionError("reached")

    def call(channel: grpc.Channel) -> list[bytes]:
        over = threading.Event()

        def nothing() -> Iterator[bytes]:
            over.wait(30)
            yield from ()

        method = channel.stream_stream("/vagus.v1.ModelService/GetModel")
        try:
            return list(method(nothing(), timeout=30))
        finally:
            over.set()

    monkeypatch.setattr(messages, "_MESSAGE_SECONDS", 0.05)
    refusal = asyncio.run(Service(act).call(lambda c: refused(lambda: call(c))))
    assert refusal.info.reason == "DEADLINE_PASSED"
    assert refusal.info.metadata["stage"] == "message"


@pytest.mark.parametrize(("cancel", "code"), [(True, "CANCELLED"), (False, "DEADLINE_EXCEEDED")])
def test_calls_that_their_caller_ends_are_counted_as_such(cancel: bool, code: str) -> None:
    started = asyncio.Event()

    async def act(request: Any) -> None:
        started.set()
        await asyncio.sleep(60)

    service = Service(act)

    def call(channel: grpc.Channel) -> None:
        method = channel.unary_unary("/vagus.v1.ModelService/GetModel")
        future = method.future(b"", timeout=60 if cancel else 3)
        if cancel:
            while not started.is_set():
                time.sleep(0.01)
            future.cancel()
        with pytest.raises((grpc.RpcError, grpc.FutureCancelledError)):
            future.result()

    asyncio.run(service.call(call))
    assert service.counted("GetModel") == {code: 1}
