"""Streams that the engine has ended and nobody reads on hold up nobody."""

import asyncio

import pytest

from support.fake_calls import FakeCalls, generate
from vagus_server.services.served import Limits

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
