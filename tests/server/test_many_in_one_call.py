"""Continuations and texts to read belong to one call that has begun; each counts as a request."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from support.fake_calls import FakeCalls, generate, read
from vagus_server.access.account import Account
from vagus_server.access.keys import TenantLimits
from vagus_server.errors import ApiError
from vagus_server.services.served import Limits

Ask = Callable[[FakeCalls, int], Awaitable[Any]]

#: Each asks for so many requests.
ASK: list[Ask] = [
    lambda calls, count: calls.generate(generate(n=count)),
    lambda calls, count: calls.stream(generate(n=count)),
    lambda calls, count: calls.read(read(texts=count)),
]
SOON = Limits(max_wait_seconds=0.05)


def account(**limits: Any) -> Account:
    return Account(lambda: TenantLimits(**limits))


@pytest.mark.parametrize("ask", ASK)
def test_the_others_wait_for_the_first_ones_places(ask: Ask) -> None:
    calls = FakeCalls(places=2, limits=SOON, step_seconds=0.02)

    async def run() -> None:
        await ask(calls, 8)
        await calls.check_nothing_is_left()

    asyncio.run(run())


@pytest.mark.parametrize("ask", ASK)
def test_each_takes_a_place_of_the_tenants(ask: Ask) -> None:
    calls = FakeCalls(account=account(concurrency=2))

    async def run() -> None:
        for count in (3, 4):
            with pytest.raises(ApiError) as caught:
                await ask(calls, count)
            error = caught.value
            assert (error.reason, error.metadata["quota"]) == ("RATE_LIMITED", "concurrency")
            assert error.retry_seconds is None, "it could never pass"
            await calls.check_nothing_is_left()
        await ask(calls, 2)
        calls.account.open()
        with pytest.raises(ApiError) as caught:
            await ask(calls, 2)
        assert caught.value.retry_seconds == 1
        await ask(calls, 1)
        calls.account.close(1)
        await calls.check_nothing_is_left()

    asyncio.run(run())


@pytest.mark.parametrize("ask", ASK)
def test_what_never_ran_costs_no_tokens(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    # A bucket that does not fill up by itself.
    monkeypatch.setattr("token_bucket.storage.time", SimpleNamespace(monotonic=lambda: 1000.0))
    calls = FakeCalls(places=1, account=account(tokens_per_minute=100), limits=SOON)

    async def run() -> None:
        async with calls.served.admission.place():
            with pytest.raises(ApiError) as caught:
                await ask(calls, 2)
        assert caught.value.reason == "QUEUE_TIMEOUT"
        await calls.check_nothing_is_left()
        calls.account.reserve(100)

    asyncio.run(run())
