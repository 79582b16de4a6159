"""The calls in flight: refuses new ones when the server stops, and ends those that outlast it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from vagus_server.errors import ApiError


class Calls:
    """Every call of vagus.v1 runs within `one`."""

    def __init__(self) -> None:
        self._scopes: set[asyncio.Timeout] = set()
        self._closed = False
        self._left = asyncio.Event()

    def __len__(self) -> int:
        return len(self._scopes)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A call. Raises ApiError SHUTTING_DOWN after `close`, and within after `hand_back`."""
        if self._closed:
            raise _shutting_down("the server is stopping and takes no new calls")
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                yield
        except TimeoutError:
            if not scope.expired():
                raise
            raise _shutting_down("the server stopped before the call had ended") from None
        finally:
            self._scopes.discard(scope)
            self._left.set()

    def close(self) -> None:
        """From now on new calls are refused."""
        self._closed = True

    def hand_back(self) -> int:
        """Ends all calls; returns how many."""
        for scope in self._scopes:
            scope.reschedule(asyncio.get_running_loop().time())
        return len(self._scopes)

    async def wait_empty(self, seconds: float) -> bool:
        """Waits until no call runs; False when some still do after so many seconds."""
        end = time.monotonic() + seconds
        while self._scopes:
            self._left.clear()
            try:
                async with asyncio.timeout(end - time.monotonic()):
                    await self._left.wait()
            except TimeoutError:
                return False
        return True


def _shutting_down(message: str) -> ApiError:
    return ApiError(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN", message)
