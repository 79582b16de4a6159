"""Lets requests into the engine, the others wait in order: for a bounded time, in bounded number.

The engine's own queue could hold them all, but there a request already occupies rows of the
vector bank, and one that gives up has to be taken out of a scheduler. Here it costs nothing.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc

from vagus_server.errors import ApiError

#: Weight of the newest interval in the mean time between departures while somebody waits.
_NEWEST = 0.1
_LONGEST_RETRY = 60


class Place:
    """One request's place in the engine.

    Args:
        waited: seconds that passed until it was free.
        leave: gives it back.
    """

    def __init__(self, waited: float, leave: Callable[[], None]) -> None:
        self.waited = waited
        self._leave: Callable[[], None] | None = leave

    def free(self) -> None:
        """Gives the place back; a second call does nothing."""
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()


class Admission:
    """Places in the engine, given out in the order of arrival.

    Args:
        places: most requests in the engine at once.
        wait_seconds: longest wait for a place.
    """

    def __init__(self, places: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(places)
        self._wait_seconds = wait_seconds
        self.waiting = 0
        self._interval = 0.0
        self._last_departure: float | None = None

    @asynccontextmanager
    async def place(self, *, limited: bool = True) -> AsyncIterator[Place]:
        """Holds a place, as soon as one is free, until the block ends or it is freed.

        A caller that is cancelled meanwhile, by its deadline for one, leaves the queue. Without
        `limited` it waits as long as it takes: for what belongs to a call that has begun.

        Raises:
            ApiError: QUEUE_TIMEOUT.
        """
        start = time.monotonic()
        await self._enter(self._wait_seconds if limited else None)
        place = Place(time.monotonic() - start, self._leave)
        try:
            yield place
        finally:
            place.free()

    async def _enter(self, seconds: float | None) -> None:
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._free.acquire()
        except TimeoutError:
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "QUEUE_TIMEOUT",
                f"waited {seconds:g} seconds for a place among the running requests",
                retry_seconds=self.retry_seconds,
                seconds=f"{seconds:g}",
            ) from None
        finally:
            self.waiting -= 1
            if not self.waiting:
                # The next one may leave after an idle night, which says nothing of the pace.
                self._last_departure = None

    def _leave(self) -> None:
        self._free.release()
        if not self.waiting:
            return
        now, last = time.monotonic(), self._last_departure
        self._last_departure = now
        if last is not None:
            self._interval += _NEWEST * (now - last - self._interval)

    @property
    def retry_seconds(self) -> int:
        """When to try again: as many will have left by then as are waiting now."""
        return min(max(1, math.ceil(self.waiting * self._interval)), _LONGEST_RETRY)
