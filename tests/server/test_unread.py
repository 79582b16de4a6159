"""Streams that nobody reads on: they hold up nobody, and what the engine did for them counts."""

import asyncio
from types import SimpleNamespace

import pytest

from support.fake_calls import FakeCalls, generate
from support.fake_engine import FakeEngine
from support.programs import operation
from support.small_pack import small_pack
from vagus_server.access.account import Account
from vagus_server.access.keys import TenantLimits
from vagus_server.engine.request import EngineRequest
from vagus_server.errors import ApiError
from vagus_server.services.served import Limits
from vagus_server.steering.program import Program

#: As many as there are places.
STREAMS = 3


@pytest.mark.parametrize("n", [1, STREAMS])
@pytest.mark.parametrize("ends", ["read on", "cancelled"])
def test_unread_streams_take_nobodys_place(n: int, ends: str) -> None:
    calls = FakeCalls(places=STREAMS, limits=Limits(max_wait_seconds=0.05))

    async def run() -> None:
        go_on = asyncio.Event()
        unread = [
            asyncio.create_task(calls.stream(generate(n=n, max_tokens=5), go_on))
            for _ in range(STREAMS // n)
        ]
        while len(calls.engine._requests) < STREAMS:
            await asyncio.sleep(0)
        await calls.engine_idle()
        assert len(calls.engine.sinks) == STREAMS, "their answers are still to be taken"
        await asyncio.gather(*(calls.generate(generate()) for _ in range(STREAMS)))
        if ends == "cancelled":
            for stream in unread:
                stream.cancel()
            await asyncio.gather(*unread, return_exceptions=True)
        else:
            go_on.set()
            for messages in await asyncio.gather(*unread):
                assert sum(len(message.tokens) for message in messages) == 5 * n
        await calls.check_nothing_is_left()

    asyncio.run(run())


def test_what_nobody_took_is_charged(monkeypatch: pytest.MonkeyPatch) -> None:
    # A bucket that does not fill up by itself.
    monkeypatch.setattr("token_bucket.storage.time", SimpleNamespace(monotonic=lambda: 1000.0))
    account = Account(lambda: TenantLimits(tokens_per_minute=1000))
    calls = FakeCalls(account=account)

    async def run() -> None:
        unread = asyncio.create_task(calls.stream(generate(max_tokens=200), asyncio.Event()))
        while not calls.engine._requests:
            await asyncio.sleep(0)
        await calls.engine_idle()
        unread.cancel()
        await asyncio.gather(unread, return_exceptions=True)
        await calls.check_nothing_is_left()

    asyncio.run(run())
    with pytest.raises(ApiError):
        account.reserve(1000 - 203 + 1)
    account.reserve(1000 - 203)
    assert calls.served.metrics.generations.generated_tokens._value.get() == 200


def test_what_nobody_took_is_known() -> None:
    """For the audit log and the spans."""
    engine = FakeEngine(small_pack())
    program = Program((operation(2),))

    async def run() -> None:
        running = engine.submit(EngineRequest("a", [1, 2, 3], {"max_tokens": 50}, program))
        outputs = running.outputs()
        await anext(outputs)
        taken = running.generated
        while len(running.sink.spans) < 9:
            await asyncio.sleep(0)
        left = len(running.sink.spans)
        await outputs.aclose()
        assert running.generated == taken + left
        assert running.ledger.steered_tokens(running.processed_end) == 3 + taken + left - 1
        assert running.balanced is None

    asyncio.run(run())
