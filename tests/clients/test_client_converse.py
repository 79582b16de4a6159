"""Conversations: what a change sends, and that none is lost or refused unnoticed."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from client_drivers import AnyConversation, Driver, asynchronous
from generation_messages import finish, token
from grpc import StatusCode
from scripted_server import HEAR, fail, send, send_forever, serve

from vagus import (
    AsyncClient,
    Client,
    DataLoss,
    Event,
    FailedPrecondition,
    NotFound,
    Readouts,
    ResourceExhausted,
    Unavailable,
    add,
)
from vagus.v1 import generation_service_pb2 as pb
from vagus.v1.readout_pb2 import ReadoutLayout

CALM = [add("calm", 0.3)]


def output(text: str = "", **fields: object) -> pb.ConverseResponse:
    return pb.ConverseResponse(output=pb.StreamGenerateResponse(text=text, **fields))


def end(text: str = "") -> pb.ConverseResponse:
    return output(text, finish=finish(receipt=None, turn=None))


def changed(change_id: str = "change-1", **fields: object) -> pb.ConverseResponse:
    return pb.ConverseResponse(changed=pb.Changed(id=change_id, **fields))


def refused(code: StatusCode, reason: str, change_id: str = "change-1") -> pb.ConverseResponse:
    refusal = pb.Refusal(code=code.value[0], reason=reason, message="no", metadata={"a": "b"})
    return changed(change_id, refusal=refusal)


def at_first_text(conversation: AnyConversation, event: Event | None) -> bool:
    return event is not None and bool(event.text) and not conversation.changes


@asynchronous
async def test_a_change_is_sent_while_tokens_come_and_its_answer_is_an_event(
    driver: Driver,
) -> None:
    seen = []

    def act(conversation: AnyConversation, event: Event | None) -> None:
        if at_first_text(conversation, event):
            assert not conversation.change(CALM).answered
        if event:
            seen.append((event.text, [change.id for change in event.changes]))

    answer = changed(program_from=9, program_digest="d")
    async with serve(send(output("a"), HEAR, answer, end("b"))) as server:
        conversation = await driver.converse(server.target, act, program=[add("sad", 0.1)])
    assert seen == [("a", []), ("", ["change-1"]), ("b", [])]
    start, change = server.requests
    assert start.start.program.operations[0].concept == "sad"
    assert change.change.program.operations[0].concept == "calm"
    [made] = conversation.changes
    assert (made.applied, made.refused, made.error) == (True, False, None)
    assert (made.program_from, made.program_digest, made.readouts_from) == (9, "d", None)
    assert (conversation.result.text, conversation.result.finish_reason) == ("ab", "stop")
    assert conversation.result.request_id == "r-1"


@asynchronous
async def test_what_a_change_asks(driver: Driver) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change([])
            conversation.change(readouts=["calm"], id="mine")
            conversation.change(CALM, stop_reading=True)
            with pytest.raises(ValueError, match="mine"):
                conversation.change([], id="mine")

    ids = ("change-1", "mine", "change-3")
    async with serve(send(HEAR, HEAR, HEAR, *map(changed, ids), end())) as server:
        conversation = await driver.converse(server.target, act)
    off, read, both = (request.change for request in server.requests[1:])
    assert (off.id, off.HasField("program"), len(off.program.operations)) == ("change-1", True, 0)
    assert (off.HasField("readouts"), off.stop_reading) == (False, False)
    assert (read.id, read.HasField("program")) == ("mine", False)
    assert (list(read.readouts.names.names), read.readouts.generation) == (["calm"], True)
    assert (both.program.operations[0].concept, both.stop_reading) == ("calm", True)
    assert [change.id for change in conversation.changes] == list(ids)
    assert all(change.applied for change in conversation.changes)


@asynchronous
async def test_readouts_follow_the_layout_that_a_change_brings(driver: Driver) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change(readouts=Readouts(["sad", "glad"]))

    first = output("a", layout=ReadoutLayout(concepts=["calm"]), tokens=[token("a", 4, 1.0)])
    both = ReadoutLayout(concepts=["sad", "glad"])
    then = output("b", layout=both, tokens=[token("b", 5, 2.0, 3.0)])
    answer = changed(readouts_from=5)
    async with serve(send(first, HEAR, answer, then, end())) as server:
        conversation = await driver.converse(server.target, act, readouts=["calm"])
    assert conversation.changes[0].readouts_from == 5
    assert [each.readout.z for each in conversation.result.tokens] == [
        {"calm": 1.0},
        {"sad": 2.0, "glad": 3.0},
    ]


@asynchronous
async def test_a_refusal_is_raised_and_cancels(driver: Driver) -> None:
    conversations = []

    def act(conversation: AnyConversation, event: Event | None) -> None:
        conversations.append(conversation)
        if at_first_text(conversation, event):
            conversation.change(CALM)

    refusal = refused(StatusCode.NOT_FOUND, "CONCEPT_NOT_FOUND")
    async with serve(send(output("a"), HEAR, refusal, HEAR, end("b"))) as server:
        with pytest.raises(NotFound) as caught:
            await driver.converse(server.target, act)
        await server.cancelled.wait()
    assert (caught.value.reason, caught.value.metadata) == ("CONCEPT_NOT_FOUND", {"a": "b"})
    assert conversations[0].changes[0].refused
    assert (conversations[0].result.text, conversations[0].result.finish_reason) == ("a", None)


@pytest.mark.parametrize("reason", ["PROGRAMS_FULL", "TOO_MANY_CHANGES"])
@asynchronous
async def test_without_check_a_refusal_is_the_callers_to_see(driver: Driver, reason: str) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if at_first_text(conversation, event):
            conversation.change(CALM, check=False)

    refusal = refused(StatusCode.RESOURCE_EXHAUSTED, reason)
    async with serve(send(output("a"), HEAR, refusal, end("b"))) as server:
        conversation = await driver.converse(server.target, act)
    [change] = conversation.changes
    assert (change.applied, change.refused) == (False, True)
    assert type(change.error) is ResourceExhausted
    assert change.error.reason == reason
    assert conversation.result.text == "ab"


TOO_LATE = refused(StatusCode.FAILED_PRECONDITION, "CHANGE_TOO_LATE")


@pytest.mark.parametrize("messages", [(HEAR, TOO_LATE, end("b")), (end("b"),)])
@pytest.mark.parametrize("check", [True, False])
@asynchronous
async def test_a_change_that_comes_too_late_is_told_when_all_has_arrived(
    driver: Driver, messages: tuple[object, ...], check: bool
) -> None:
    conversations = []

    def act(conversation: AnyConversation, event: Event | None) -> None:
        conversations.append(conversation)
        if at_first_text(conversation, event):
            conversation.change(CALM, check=check)

    async with serve(send(output("a"), *messages)) as server:
        if check:
            with pytest.raises(FailedPrecondition) as caught:
                await driver.converse(server.target, act)
            assert caught.value.reason == "CHANGE_TOO_LATE"
        else:
            await driver.converse(server.target, act)
    conversation = conversations[0]
    assert conversation.changes[0].refused
    assert (conversation.result.text, conversation.result.finish_reason) == ("ab", "stop")


@asynchronous
async def test_after_the_end_every_change_is_too_late(driver: Driver) -> None:
    async with serve(send(end())) as server:
        conversation = await driver.converse(server.target, lambda *_: None)
    with pytest.raises(FailedPrecondition, match="ended before"):
        conversation.change(CALM)
    assert conversation.change([], check=False).refused


@pytest.mark.parametrize(
    ("answers", "waits"),
    [
        (["change-2"], "change-1"),
        (["change-1", "change-1"], "change-2"),
        (["change-1", "change-2", "change-2"], "none"),
        ([""], "change-1"),
    ],
)
@asynchronous
async def test_answers_come_in_order_and_once(
    driver: Driver, answers: list[str], waits: str
) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change(CALM)
            conversation.change([])

    async with serve(send(HEAR, HEAR, *map(changed, answers), end())) as server:
        with pytest.raises(DataLoss, match=f"{answers[-1]!r}; {waits} waits"):
            await driver.converse(server.target, act)


@asynchronous
async def test_what_was_not_admitted_is_tried_again_with_its_changes(driver: Driver) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change(CALM)

    async def hear_and_fail(context: object) -> object:
        yield HEAR
        async for message in fail(StatusCode.UNAVAILABLE)(context):
            yield message

    async with serve(hear_and_fail, send(HEAR, changed(program_from=1), end("b"))) as server:
        conversation = await driver.converse(server.target, act)
    kinds = [request.WhichOneof("message") for request in server.requests]
    assert kinds == ["start", "change"] * 2
    assert conversation.changes[0].applied


@asynchronous
async def test_what_was_admitted_is_not_tried_again(driver: Driver) -> None:
    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change(CALM)

    def failing(*messages: object) -> object:
        async def behave(context: object) -> object:
            yield HEAR
            async for message in fail(StatusCode.UNAVAILABLE, after=messages)(context):
                yield message

        return behave

    for messages in ([output("a")], [changed()]):
        async with serve(failing(*messages), send(end())) as server:
            with pytest.raises(Unavailable):
                await driver.converse(server.target, act)
            assert len(server.requests) == 2


@asynchronous
async def test_leaving_early_cancels_and_lets_the_sending_side_go() -> None:
    def run(target: str) -> None:
        with Client(target) as client, client.converse("Hi") as conversation:
            for _ in conversation:
                break
            with pytest.raises(FailedPrecondition):
                conversation.change(CALM)

    forever = send_forever(output("x"))
    async with serve(forever) as server:
        await asyncio.to_thread(run, server.target)
        await server.cancelled.wait()
    async with serve(forever) as server, AsyncClient(server.target) as client:
        async with client.converse("Hi") as conversation:
            async for _ in conversation:
                break
        await server.cancelled.wait()


@asynchronous
async def test_another_thread_may_change_it() -> None:
    def run(target: str) -> list[str]:
        with Client(target) as client, client.converse("Hi") as conversation:
            conversation_text = []
            with ThreadPoolExecutor() as threads:
                waiting = [threads.submit(conversation.change, CALM) for _ in range(8)]
                for event in conversation:
                    conversation_text.append(event.text)
            assert {each.result().id for each in waiting} == {c.id for c in conversation.changes}
            assert all(change.applied for change in conversation.changes)
            return conversation_text

    answers = [part for i in range(8) for part in (HEAR, changed(f"change-{i + 1}"))]
    async with serve(send(*answers, end("b"))) as server:
        texts = await asyncio.to_thread(run, server.target)
    assert texts == [*[""] * 8, "b"]
    sent = [request.change.id for request in server.requests[1:]]
    assert sent == [f"change-{i + 1}" for i in range(8)]


def test_a_conversation_has_to_be_opened() -> None:
    with Client("localhost:1") as client, pytest.raises(RuntimeError, match="open the stream"):
        client.converse("Hi").change(CALM)
