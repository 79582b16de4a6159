"""The vector bank under concurrency: what a holder finds on the device is what it asked for."""

import asyncio
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.concepts.vectors import Vectors
from vagus_server.engine.bank import VectorBank
from vagus_server.engine.rows import BankFull


def contents(n: int) -> Vectors:
    return Vectors.of(np.full((2, 3), n + 1, dtype=np.float16))


class Device:
    """Takes some turns of the loop to write a row, and may fail."""

    def __init__(self, draw: random.Random | None = None, failures: float = 0.0) -> None:
        self.rows: dict[int, bytes] = {}
        self.writes = 0
        self._draw, self._failures = draw, failures

    async def write(self, row: int, data: bytes) -> None:
        self.writes += 1
        for _ in range(self._draw.randrange(4) if self._draw else 1):
            await asyncio.sleep(0)
        if self._draw and self._draw.random() < self._failures:
            raise OSError("the device did not answer")
        self.rows[row] = data


def test_equal_contents_are_written_once_and_waited_for_by_all() -> None:
    device = Device()
    bank = VectorBank(4, device.write)

    async def use() -> None:
        async with bank.holding([contents(0)]) as row_of:
            assert device.rows[row_of[contents(0).digest]] == contents(0).tobytes()

    async def run() -> None:
        await asyncio.gather(*(use() for _ in range(5)))

    asyncio.run(run())
    assert (device.writes, bank.rows.used) == (1, 0)


def test_a_row_does_not_pass_on_while_it_is_written() -> None:
    """Even when the only one who wanted it has gone."""

    async def run() -> None:
        gate, written = asyncio.Event(), list[int]()

        async def write(row: int, data: bytes) -> None:
            await gate.wait()
            written.append(row)

        bank = VectorBank(2, write)
        first = asyncio.create_task(bank.acquire(contents(0)))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        with pytest.raises(BankFull):
            await bank.acquire(contents(1))
        gate.set()
        with pytest.raises(asyncio.CancelledError):
            await first
        while bank.rows.used:
            await asyncio.sleep(0)
        assert await bank.acquire(contents(1)) == 1
        assert written == [1, 1]

    asyncio.run(run())


def test_a_program_that_does_not_fit_holds_nothing() -> None:
    async def run() -> None:
        bank = VectorBank(3, Device().write)
        with pytest.raises(BankFull):
            async with bank.holding(map(contents, range(3))):
                pytest.fail("held")
        while bank.rows.used:
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_write_that_failed_is_made_again() -> None:
    async def run() -> None:
        device = Device(random.Random(0), failures=1.0)
        bank = VectorBank(2, device.write)
        waiters = [bank.acquire(contents(0)) for _ in range(3)]
        results = await asyncio.gather(*waiters, return_exceptions=True)
        assert [type(result) for result in results] == [OSError] * 3
        assert bank.rows.used == 0
        device._failures = 0.0
        row = await bank.acquire(contents(0))
        assert device.rows[row] == contents(0).tobytes()

    asyncio.run(run())


@examples
@given(
    st.integers(0, 2**32),
    st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True), max_size=12),
)
def test_whatever_comes_and_goes(seed: int, wanted: Sequence[list[int]]) -> None:
    """Holders of random contents, some cancelled, on a slow device that fails at times."""
    # Not hypothesis's own randomness: it ends an example by an exception, which tasks would keep.
    draw = random.Random(seed)
    device = Device(draw, failures=0.1)
    bank = VectorBank(5, device.write)

    async def use(numbers: list[int]) -> None:
        await pause()
        async with bank.holding(map(contents, numbers)) as row_of:
            for _ in range(draw.randrange(5)):
                for n in numbers:
                    row = row_of[contents(n).digest]
                    assert device.rows[row] == contents(n).tobytes()
                await asyncio.sleep(0)

    async def pause() -> None:
        for _ in range(draw.randrange(8)):
            await asyncio.sleep(0)

    async def run() -> list[object]:
        tasks = [asyncio.create_task(use(numbers)) for numbers in wanted]
        for task in tasks:
            if draw.random() < 0.3:
                await pause()
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        return results

    expected = (type(None), asyncio.CancelledError, OSError, BankFull)
    assert all(isinstance(result, expected) for result in asyncio.run(run()))
    assert bank.rows.used == 0
