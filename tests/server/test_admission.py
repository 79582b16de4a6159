"""The queue before the engine: in order, for a bounded time, and left by those who give up."""

import asyncio

import grpc
import pytest

from vagus_server.errors import ApiError
from vagus_server.services.admission import Admission


async def settle() -> None:
    """Lets every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def enter(admission: Admission, *, limited: bool) -> None:
    async with admission.place(limited=limited):
        pass


class Held:
    """Requests that hold their place until they are let go."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.started: list[str] = []
        self._go = {"": asyncio.Event()}

    def start(self, name: str) -> asyncio.Task[None]:
        self._go[name] = asyncio.Event()
        return asyncio.create_task(self._run(name))

    async def _run(self, name: str) -> None:
        async with self._admission.place():
            self.started.append(name)
            await self._go[name].wait()

    async def end(self, name: str) -> None:
        self._go[name].set()
        await settle()


def test_places_are_given_in_the_order_of_arrival() -> None:
    async def scenario() -> None:
        admission = Admission(places=2, wait_seconds=60)
        held = Held(admission)
        tasks = {name: held.start(name) for name in "abcde"}
        await settle()
        assert (held.started, admission.waiting) == (["a", "b"], 3)
        tasks["c"].cancel()  # its caller is gone
        await settle()
        assert admission.waiting == 2
        await held.end("b")
        assert held.started == ["a", "b", "d"]
        await held.end("a")
        assert (held.started, admission.waiting) == (["a", "b", "d", "e"], 0)
        await held.end("d")
        await held.end("e")
        async with admission.place(), admission.place():
            pass  # both places are free again

    asyncio.run(scenario())


def test_a_wait_ends() -> None:
    async def scenario() -> None:
        admission = Admission(places=1, wait_seconds=0)
        held = Held(admission)
        first = held.start("first")
        await settle()
        with pytest.raises(ApiError) as caught:
            async with admission.place():
                pytest.fail("there was no place")
        error = caught.value
        assert (error.code, error.reason) == (
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "QUEUE_TIMEOUT",
        )
        assert error.metadata == {"seconds": "0"}
        assert error.retry_seconds == 1
        assert admission.waiting == 0
        patient = asyncio.create_task(enter(admission, limited=False))
        await settle()
        assert admission.waiting == 1
        await held.end("first")
        await patient
        await first
        async with admission.place() as place:
            assert place.waited >= 0

    asyncio.run(scenario())


def test_a_place_that_fails_is_free_again() -> None:
    async def scenario() -> None:
        admission = Admission(places=1, wait_seconds=0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                async with admission.place():
                    raise ZeroDivisionError

    asyncio.run(scenario())


def test_a_place_is_given_back_once() -> None:
    async def scenario() -> None:
        admission = Admission(places=1, wait_seconds=0)
        async with admission.place() as first:
            first.free()
            first.free()
            async with admission.place():
                with pytest.raises(ApiError):
                    await enter(admission, limited=True)
        async with admission.place():
            with pytest.raises(ApiError):
                await enter(admission, limited=True)

    asyncio.run(scenario())


def test_when_to_try_again_follows_the_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    async def crowd(admission: Admission, count: int) -> None:
        """So many come at once, and one leaves every half second."""
        nonlocal now
        held = Held(admission)
        tasks = [held.start(f"{n}") for n in range(count)]
        await settle()
        for n in range(count):
            now += 0.5
            await held.end(f"{n}")
        await asyncio.gather(*tasks)

    async def scenario() -> None:
        nonlocal now
        admission = Admission(places=1, wait_seconds=1e9)  # the loop has this clock too
        monkeypatch.setattr(
            "vagus_server.services.admission.time.monotonic", lambda: now, raising=True
        )
        assert admission.retry_seconds == 1
        await crowd(admission, 200)
        admission.waiting = 9
        assert admission.retry_seconds == 5
        admission.waiting = 1000
        assert admission.retry_seconds == 60
        admission.waiting = 0
        for _ in range(10):  # nobody waits, be it for hours between two or in a crowd after them
            now += 3600
            await crowd(admission, 1)
        now += 3600
        await crowd(admission, 5)
        admission.waiting = 9
        assert admission.retry_seconds == 5

    asyncio.run(scenario())
