"""Many changes of one request: so many are made, and nothing of the others is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from support.calls import add, spec
from support.conversation import Conversation
from support.fake_engine import FakeEngine
from support.fake_server_process import FakeServerProcess
from support.programs import operation
from support.small_pack import small_pack
from vagus.v1 import generation_service_pb2 as pb
from vagus_server.engine.failures import ChangeTooLate, ProgramsFull
from vagus_server.engine.request import EngineRequest
from vagus_server.plugin.wire import FULL
from vagus_server.services.context import Call, current_call
from vagus_server.services.converse import MAX_PROGRAM_CHANGES, Changes
from vagus_server.steering.program import Program


@pytest.fixture(scope="module")
def channel() -> Iterator[grpc.Channel]:
    with (
        FakeServerProcess("--step-seconds", "0.02") as server,
        grpc.insecure_channel(server.target) as opened,
    ):
        yield opened


def test_more_changes_than_a_request_may_have_are_refused(channel: grpc.Channel) -> None:
    """The stream goes on with its last program, and the receipt says so."""
    conversation = Conversation(channel, spec("Hello", max_tokens=200))
    conversation.read(1)
    names = small_pack().names
    for n in range(MAX_PROGRAM_CHANGES + 6):
        conversation.steer(add(names[0], 0.001 * (n + 1)), id=f"change-{n}")
    conversation.send(id="reads-nothing", stop_reading=True)
    response = conversation.finish()
    *changed, other = conversation.changed
    assert [change.id for change in changed] == [f"change-{n}" for n in range(len(changed))]
    made, refused = changed[:MAX_PROGRAM_CHANGES], changed[MAX_PROGRAM_CHANGES:]
    assert [c.refusal.reason for c in (*made, other) if c.HasField("refusal")] == []
    assert len(refused) == 6
    for change in refused:
        assert change.refusal.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
        assert change.refusal.reason == "TOO_MANY_CHANGES"
        assert dict(change.refusal.metadata) == {"limit": str(MAX_PROGRAM_CHANGES)}
    last = response.finish.receipt.changes[-1]
    assert (last.change_id, last.program_digest) == (made[-1].id, made[-1].program_digest)
    assert last.from_position == made[-1].program_from
    assert len(response.tokens) == 200
    assert last.to_position == response.finish.usage.prompt_tokens + 199
    assert last.operations[0].tokens_in_scope == last.to_position - last.from_position


def test_answers_do_not_pile_up_while_no_output_leaves() -> None:
    """As while the request waits for its place: then no more changes are read."""
    read = 0

    async def requests() -> AsyncIterator[pb.ConverseRequest]:
        nonlocal read
        for n in range(1000):
            read = n + 1
            yield pb.ConverseRequest(change=pb.Change(id=f"{n}"))  # changes nothing: refused
            await asyncio.sleep(0)

    async def run() -> None:
        current_call.set(Call("Converse"))
        nothing: Any = SimpleNamespace(metrics=SimpleNamespace(changed=lambda made: None))
        changes = Changes(nothing, nothing, requests())
        changes.begin(nothing)
        told: list[str] = []
        while len(told) < 1000:
            for _ in range(500):
                await asyncio.sleep(0)
            assert read <= len(told) + 64
            told += [changed.id for changed in await changes.answers(last=False)]
        assert told == [f"{n}" for n in range(1000)]
        changes.end()

    asyncio.run(run())


def test_nothing_of_a_refused_change_is_kept() -> None:
    engine = FakeEngine(small_pack())

    async def run() -> None:
        running = engine.submit(EngineRequest("a", [1, 2, 3], {"max_tokens": 8}))

        async def full(*_: Any) -> int:
            return FULL

        made, engine.change = engine.change, full  # type: ignore[method-assign]
        outputs = running.outputs()
        await anext(outputs)
        used, held = engine.bank.rows.used, len(running._held._exit_callbacks)  # type: ignore[attr-defined]
        for n in range(10):
            with pytest.raises(ProgramsFull):
                await running.change(Program((operation(2, length=n + 1.0),)), f"{n}")
        assert (len(running.programs), running.change_ids) == (1, [""])
        assert engine.bank.rows.used == used
        assert len(running._held._exit_callbacks) == held  # type: ignore[attr-defined]
        engine.change = made  # type: ignore[method-assign]
        program = Program((operation(2, length=20.0),))
        start = await running.change(program, "made")
        assert running.programs[1:] == [program]
        assert engine.bank.rows.used == used + 1
        async for _ in outputs:
            pass
        assert running.balanced
        assert [(s.start, s.number) for s in running.ledger.segments(99)[1:]] == [(start, 1)]
        assert engine.bank.rows.used == used

    asyncio.run(run())


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_change_waits_for_its_request_without_asking_for_it() -> None:
    """Hundreds wait in the queue; the request itself says that it has begun."""
    engine, asked = FakeEngine(small_pack()), list[str]()
    known = engine.internal_ids
    engine.internal_ids = lambda id: asked.append(id) or known(id)  # type: ignore[method-assign, func-returns-value]

    async def run() -> None:
        running = engine.submit(EngineRequest("a", [1, 2, 3], {"max_tokens": 8}))
        change = asyncio.create_task(running.change(Program((operation(2),)), "early"))
        await _settle()
        assert not asked
        assert [output.finish_reason async for output in running.outputs()][-1] == "length"
        assert await change >= 3
        assert running.balanced

    asyncio.run(run())


def test_a_change_of_an_unread_request_that_has_ended_comes_too_late() -> None:
    engine = FakeEngine(small_pack())
    # As vLLM's: it forgets a request when it ends it, whoever reads.
    engine.internal_ids = lambda id: []  # type: ignore[method-assign]

    async def run() -> None:
        running = engine.submit(EngineRequest("a", [1, 2, 3], {"max_tokens": 8}))
        outputs = running.outputs()
        await anext(outputs)
        while not running.sink.ended:
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            with pytest.raises(ChangeTooLate):
                await running.change(Program((operation(2),)), "late")
        await outputs.aclose()

    asyncio.run(run())
