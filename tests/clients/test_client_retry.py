"""Retries: when, how often, how long."""

import pytest
from client_drivers import Driver, asynchronous
from generation_messages import messages, response
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from scripted_server import Failed, fail, send, serve

from vagus import Internal, ResourceExhausted, Unavailable
from vagus._retry import Attempts

UNAVAILABLE = fail(StatusCode.UNAVAILABLE)


@asynchronous
async def test_unavailable_is_tried_again(driver: Driver) -> None:
    async with serve(UNAVAILABLE, UNAVAILABLE, send(response())) as server:
        result = await driver.call(server.target, "generate", "Hi")
        assert (result.text, len(server.requests)) == ("Hi you", 3)
    async with serve(UNAVAILABLE, UNAVAILABLE, send(*messages())) as server:
        events, _ = await driver.collect(server.target)
        assert (len(events), len(server.requests)) == (3, 3)


@asynchronous
async def test_only_max_retries_times(driver: Driver) -> None:
    async with serve(*[UNAVAILABLE] * 9) as server:
        for retries in (0, 2):
            server.requests.clear()
            with pytest.raises(Unavailable):
                await driver.call(server.target, "generate", "Hi", client={"max_retries": retries})
            assert len(server.requests) == retries + 1


@asynchronous
async def test_not_after_a_message(driver: Driver) -> None:
    failure = fail(StatusCode.UNAVAILABLE, after=tuple(messages()[:1]))
    async with serve(failure, send(*messages())) as server:
        with pytest.raises(Unavailable):
            await driver.collect(server.target)
        assert len(server.requests) == 1


@asynchronous
async def test_not_after_the_engine_has_admitted_the_request(driver: Driver) -> None:
    failure = fail(StatusCode.UNAVAILABLE, admitted=True)
    async with serve(failure, failure) as server:
        with pytest.raises(Unavailable):
            await driver.collect(server.target)
        with pytest.raises(Unavailable):
            await driver.call(server.target, "generate", "Hi")
        assert len(server.requests) == 2


@asynchronous
async def test_a_full_queue_only_when_the_server_says_when(driver: Driver) -> None:
    full = fail(StatusCode.RESOURCE_EXHAUSTED)
    soon = fail(StatusCode.RESOURCE_EXHAUSTED, retry_after_ms=1)
    async with serve(full, soon, send(*messages())) as server:
        with pytest.raises(ResourceExhausted) as caught:
            await driver.collect(server.target)
        assert caught.value.retry_delay is None
        await driver.collect(server.target)
        assert len(server.requests) == 3


@asynchronous
async def test_other_errors_are_final(driver: Driver) -> None:
    async with serve(fail(StatusCode.INTERNAL)) as server:
        with pytest.raises(Internal):
            await driver.collect(server.target)
        assert len(server.requests) == 1


def _attempts(timeout: float = 600.0, max_retries: int = 99, now: float = 0.0) -> Attempts:
    # The longest wait that the jitter can draw.
    return Attempts(timeout, max_retries, clock=lambda: now, jitter=lambda _, longest: longest)


def test_waits_double_up_to_two_seconds() -> None:
    attempts, failure = _attempts(), Failed(StatusCode.UNAVAILABLE)
    delays = [attempts.delay_after(failure) for _ in range(7)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0])


def test_the_servers_delay_comes_on_top() -> None:
    packed = AnyMessage()
    packed.Pack(RetryInfo(retry_delay=Duration(seconds=5)))
    details = Status(details=[packed]).SerializeToString()
    failure = Failed(StatusCode.RESOURCE_EXHAUSTED, ("grpc-status-details-bin", details))
    assert _attempts().delay_after(failure) == pytest.approx(5.1)
    with pytest.raises(ResourceExhausted) as caught:
        _attempts(timeout=5.0).delay_after(failure)
    assert caught.value.retry_delay == 5.0


def test_all_attempts_share_one_deadline() -> None:
    now = [0.0]
    attempts = Attempts(1.0, 9, clock=lambda: now[0])
    now[0] = 0.75
    assert attempts.remaining() == 0.25
    now[0] = 5.0
    assert attempts.remaining() == 0.0
    with pytest.raises(Unavailable):
        attempts.delay_after(Failed(StatusCode.UNAVAILABLE))
