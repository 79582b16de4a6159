"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    error: Exception | None = None


def interleaved(streams: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    """Yields what any of the streams yields, as it comes; each waits until its item is taken.

    The first failure ends them all and is raised; so does closing, and then nothing is raised.
    """
    return streams[0] if len(streams) == 1 else _interleaved(streams)


async def _interleaved(streams: Sequence[AsyncGenerator[T]]) -> AsyncGenerator[T]:
    items: asyncio.Queue[T | _End] = asyncio.Queue()
    # One item waits to be taken. A queue of one place would not be fair, and an end would have
    # to wait for its place: after the last item was taken, for ever.
    room = asyncio.Semaphore(1)

    async def pump(stream: AsyncGenerator[T]) -> None:
        error = None
        try:
            async with aclosing(stream):
                async for item in stream:
                    await room.acquire()
                    items.put_nowait(item)
        except Exception as failure:
            error = failure
        items.put_nowait(_End(error))

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    try:
        running = len(tasks)
        while running:
            got = await items.get()
            if not isinstance(got, _End):
                room.release()
                yield got
            elif got.error is not None:
                raise got.error
            else:
                running -= 1
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
