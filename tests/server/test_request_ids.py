"""A request id is one running call's, whatever else begins in the same turn of the loop."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.fake_calls import FakeCalls, generate, read
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.errors import ApiError
from vagus_server.services.served import Limits

Ask = Callable[[FakeCalls, str], Awaitable[Any]]

GENERATE: list[Ask] = [
    lambda calls, name: calls.generate(generate(name, n=2)),
    lambda calls, name: calls.stream(generate(name, n=2)),
]
READ: Ask = lambda calls, name: calls.read(read(name, texts=3))  # noqa: E731


def both(calls: FakeCalls, *asked: Awaitable[Any]) -> list[Any]:
    """What calls that begin in one turn bring, once nothing of them is left."""

    async def run() -> list[Any]:
        async with asyncio.timeout(5):
            results = await asyncio.gather(*asked, return_exceptions=True)
        await calls.check_nothing_is_left()
        return results

    return asyncio.run(run())


@pytest.mark.parametrize("ask", [*GENERATE, READ])
def test_of_two_calls_with_one_id_one_is_refused(ask: Ask) -> None:
    calls = FakeCalls()
    (alone,) = both(calls, ask(calls, "mine"))
    got, refused = both(calls, ask(calls, "mine"), ask(calls, "mine"))
    assert isinstance(refused, ApiError)
    assert refused.reason == "REQUEST_ID_IN_USE"
    assert got == alone
    assert both(calls, ask(calls, "mine")) == [alone], "the id is free again"


def test_calls_that_begin_at_once_do_not_overshoot_the_room() -> None:
    calls = FakeCalls(limits=Limits(max_requests=5))
    asked = [calls.generate(generate(n=3)), calls.read(read(texts=2)), calls.read(read(texts=1))]
    (refused,) = [got for got in both(calls, *asked) if isinstance(got, ApiError)]
    assert refused.reason == "QUEUE_FULL"


@pytest.mark.parametrize("ask", [*GENERATE, READ])
@pytest.mark.parametrize("cancels", [1, 3])
def test_a_call_that_is_cancelled_leaves_nothing(ask: Ask, cancels: int) -> None:
    calls = FakeCalls(places=2)

    async def cancelled_after(turns: int) -> bool:
        task = asyncio.ensure_future(ask(calls, "mine"))
        for _ in range(turns):
            await asyncio.sleep(0)
        over = task.done()
        for _ in range(cancels):  # a server that stops cancels a call that is being cancelled
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        await calls.check_nothing_is_left()
        return over

    async def run() -> None:
        turns = 0
        while not await cancelled_after(turns):
            turns += 1
        assert turns > 3

    asyncio.run(run())


def test_an_open_id_is_never_opened_again() -> None:
    sinks, first = Sinks((1, 4, 2), 4), Sink((), None)
    sinks.open("mine", first)
    with pytest.raises(RuntimeError, match="mine"):
        sinks.open("mine", Sink((), None))
    assert sinks._sinks == {"mine": first}
