"""Streaming: accumulation, and that leaving early cancels on the server."""

import asyncio

import pytest
from client_drivers import Driver, asynchronous
from generation_messages import finish, messages, response
from grpc import StatusCode
from scripted_server import fail, hang, send, send_forever, serve

import vagus
from vagus import (
    AsyncClient,
    Cancelled,
    Client,
    DataLoss,
    DeadlineExceeded,
    Internal,
    TokenReadout,
)
from vagus.v1.generation_service_pb2 import (
    FINISH_REASON_POLICY,
    GenerateResponse,
    StreamGenerateResponse,
)
from vagus.v1.policy_pb2 import PolicyEvent


@asynchronous
async def test_stream_and_generate_give_the_same_result(driver: Driver) -> None:
    async with serve(send(*messages()), send(response())) as server:
        events, streamed = await driver.collect(server.target)
        whole = await driver.call(server.target, "generate", "Hi")
    assert streamed == whole
    assert [event.text for event in events] == ["Hi", "", " you"]
    assert [event.finish_reason for event in events] == [None, None, "stop"]
    assert whole.text == "Hi you"
    assert [token.readout.z for token in whole.tokens] == [
        {"calm": 3.0, "desperate": -1.0},
        {"calm": 0.0, "desperate": 0.0},
    ]
    assert whole.prompt_readouts[0].position == 3
    assert (whole.finish_reason, whole.stop, whole.stop_token_id) == ("stop", "END", None)
    assert whole.usage.generated_tokens == 2
    assert whole.receipt.operations[0].concept == "calm"
    assert whole.turn.z == {"calm": 1.5, "desperate": -0.5}
    assert (whole.pack_digest, whole.request_id) == ("d1", "r-1")


@asynchronous
async def test_text_iterators_skip_empty_pieces() -> None:
    def texts(target: str) -> list[str]:
        with Client(target) as client, client.stream("Hi") as stream:
            return list(stream.text)

    async with serve(send(*messages()), send(*messages())) as server:
        assert await asyncio.to_thread(texts, server.target) == ["Hi", " you"]
        async with AsyncClient(server.target) as client, client.stream("Hi") as stream:
            assert [text async for text in stream.text] == ["Hi", " you"]


@pytest.mark.parametrize("iterate", ["events", "text"])
@asynchronous
async def test_async_break_cancels_inside_the_block(iterate: str) -> None:
    async with (
        serve(send_forever(StreamGenerateResponse(text="x"))) as server,
        AsyncClient(server.target) as client,
        client.stream("Hi") as stream,
    ):
        async for _ in stream if iterate == "events" else stream.text:
            break
        await server.cancelled.wait()
        assert [event async for event in stream] == []
        assert (stream.result.text[:1], stream.result.finish_reason) == ("x", None)


@pytest.mark.parametrize("iterate", ["events", "text"])
@asynchronous
async def test_sync_break_cancels_inside_the_block(iterate: str) -> None:
    def run(target: str, loop: asyncio.AbstractEventLoop, seen: asyncio.Event) -> None:
        with Client(target) as client, client.stream("Hi") as stream:
            for _ in stream if iterate == "events" else stream.text:
                break
            asyncio.run_coroutine_threadsafe(seen.wait(), loop).result(20)

    async with serve(send_forever(StreamGenerateResponse(text="x"))) as server:
        await asyncio.to_thread(run, server.target, asyncio.get_running_loop(), server.cancelled)


@asynchronous
async def test_leaving_the_block_cancels_although_the_iterator_lives() -> None:
    async with (
        serve(send_forever(StreamGenerateResponse(text="x"))) as server,
        AsyncClient(server.target) as client,
    ):
        async with client.stream("Hi") as stream:
            iterator = aiter(stream)
            await anext(iterator)
        await server.cancelled.wait()
        with pytest.raises(Cancelled):
            _ = [event async for event in iterator]


@asynchronous
async def test_sync_leaving_the_block_cancels_although_the_iterator_lives() -> None:
    def run(client: Client) -> object:
        with client.stream("Hi") as stream:
            iterator = iter(stream)
            next(iterator)
        return iterator

    async with serve(send_forever(StreamGenerateResponse(text="x"))) as server:
        with Client(server.target) as client:
            iterator = await asyncio.to_thread(run, client)
            await server.cancelled.wait()
            assert iterator is not None


@asynchronous
async def test_cancelling_the_task_cancels_the_call() -> None:
    async with serve(hang) as server, AsyncClient(server.target) as client:
        task = asyncio.create_task(client.generate("Hi"))
        while not server.requests:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.cancelled.wait()


@asynchronous
async def test_the_timeout_becomes_the_deadline(driver: Driver) -> None:
    async with serve(hang, hang) as server:
        with pytest.raises(DeadlineExceeded):
            await driver.collect(server.target, timeout=0.3)
        with pytest.raises(DeadlineExceeded):
            await driver.call(server.target, "generate", "Hi", client={"timeout": 0.3})
        await server.cancelled.wait()


@asynchronous
async def test_an_error_in_the_middle_keeps_what_arrived() -> None:
    async with (
        serve(fail(StatusCode.INTERNAL, after=tuple(messages()[:1]))) as server,
        AsyncClient(server.target) as client,
        client.stream("Hi") as stream,
    ):
        with pytest.raises(Internal):
            _ = [event async for event in stream]
        assert (stream.result.text, stream.result.finish_reason) == ("Hi", None)
        assert isinstance(stream.result.tokens[0].readout, TokenReadout)


@asynchronous
async def test_a_stream_without_its_end_is_an_error(driver: Driver) -> None:
    async with serve(send(messages()[0], request_id="r-9")) as server:
        with pytest.raises(DataLoss) as caught:
            await driver.collect(server.target)
    assert caught.value.request_id == "r-9"


def test_a_stream_has_to_be_opened() -> None:
    with Client("localhost:1") as client, pytest.raises(RuntimeError, match="open the stream"):
        next(iter(client.stream("Hi")))


@asynchronous
async def test_policies_tell_and_may_end_the_request(driver: Driver) -> None:
    began = PolicyEvent(policy="p", kind=1, position=4, value=2.5, severity="warning")
    stopped = PolicyEvent(policy="p", kind=3, position=5, value=3.5, severity="warning")
    ended = finish(reason=FINISH_REASON_POLICY, stop="", policy="p", turn=None)
    parts = [
        StreamGenerateResponse(text="a", policy_events=[began]),
        StreamGenerateResponse(policy_events=[stopped], finish=ended),
    ]
    whole = GenerateResponse(text="a", policy_events=[began, stopped], finish=ended)
    async with serve(send(*parts), send(whole)) as server:
        events, streamed = await driver.collect(server.target)
        assert await driver.call(server.target, "generate", "Hi") == streamed
    assert [[each.kind for each in event.policy_events] for event in events] == [
        ["began"],
        ["stopped"],
    ]
    assert (streamed.finish_reason, streamed.policy) == ("policy", "p")
    assert streamed.policy_events[0] == vagus.PolicyEvent("p", "began", 4, 2.5, "warning")


@asynchronous
async def test_what_a_policy_did_must_be_known(driver: Driver) -> None:
    strange = StreamGenerateResponse(policy_events=[PolicyEvent(policy="p")])
    async with serve(send(strange)) as server:
        with pytest.raises(DataLoss, match="unknown"):
            await driver.collect(server.target)
