"""Several streams as one: nothing is lost, and nothing goes on after the end."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from vagus_server.services.interleave import interleaved


class Stubborn(Exception):
    """Raised by a stream that fails while it is being closed."""


class Stream:
    """Yields (name, 0), (name, 1)..; notes how it ended."""

    def __init__(self, name: str, count: int, fails: bool = False) -> None:
        self.name, self.count, self.fails = name, count, fails
        self.yielded, self.closed = 0, False

    async def items(self) -> AsyncGenerator[tuple[str, int]]:
        try:
            for n in range(self.count):
                await asyncio.sleep(0)
                self.yielded += 1
                yield self.name, n
            if self.fails:
                raise ValueError(self.name)
        finally:
            self.closed = True


@pytest.mark.parametrize("counts", [(3,), (0,), (3, 5), (0, 4, 1), (7, 7, 7, 7)])
def test_every_item_comes_once_and_in_order(counts: tuple[int, ...]) -> None:
    streams = [Stream(str(i), count) for i, count in enumerate(counts)]

    async def run() -> list[tuple[str, int]]:
        return [item async for item in interleaved([s.items() for s in streams])]

    found = asyncio.run(run())
    for i, count in enumerate(counts):
        assert [n for name, n in found if name == str(i)] == list(range(count))
    assert len(found) == sum(counts)
    assert all(stream.closed for stream in streams)


def test_the_first_failure_ends_them_all() -> None:
    bad, good = Stream("bad", 2, fails=True), Stream("good", 10**6)

    async def run() -> None:
        async for _ in interleaved([good.items(), bad.items()]):
            pass

    with pytest.raises(ValueError, match="bad"):
        asyncio.run(run())
    assert bad.closed
    assert good.closed
    assert good.yielded < 10, "the others do not keep a failure from being seen"


def test_streams_that_fail_while_they_are_closed_hold_up_nobody() -> None:
    async def stubborn() -> AsyncGenerator[int]:
        try:
            while True:
                yield 0
        finally:
            raise Stubborn

    async def run() -> None:
        async with asyncio.timeout(10):
            merged = interleaved([stubborn() for _ in range(3)])
            await anext(merged)
            await asyncio.sleep(0)  # the next item waits to be taken, and nobody takes it
            await merged.aclose()

    asyncio.run(run())


def test_closing_ends_them_all_and_a_stream_waits_for_its_reader() -> None:
    streams = [Stream("a", 10**6), Stream("b", 10**6)]

    async def run() -> None:
        merged = interleaved([s.items() for s in streams])
        for _ in range(3):
            await anext(merged)
        await asyncio.sleep(0.05)
        assert sum(s.yielded for s in streams) <= 3 + 1 + len(streams)
        await merged.aclose()

    asyncio.run(run())
    assert all(stream.closed for stream in streams)
