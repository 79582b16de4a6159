"""A streamed generation, for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self

from grpc.aio import AioRpcError

from vagus._errors import Cancelled
from vagus._result import Event
from vagus._status import Metadata
from vagus._stream_base import StreamBase


class AsyncStream(StreamBase):
    """Events of one generation. Use it as `async with client.stream(...) as stream`.

    Leaving the block cancels the call, and so does leaving the iteration before its end.
    """

    async def __aenter__(self) -> Self:
        self._start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events()

    @property
    def text(self) -> AsyncIterator[str]:
        """The text, piece by piece; of the first continuation."""
        return self._texts()

    async def _texts(self) -> AsyncIterator[str]:
        async with aclosing(self._events()) as events:
            async for event in events:
                if event.text and not event.index:
                    yield event.text

    async def _events(self) -> AsyncGenerator[Event, None]:
        self._check_open()
        try:
            while not self._ended:
                try:
                    async for message in self._messages():
                        yield self._take(message)
                except AioRpcError as failure:
                    delay = self._attempts.delay_after(failure, messages=self._received)
                except asyncio.CancelledError:
                    self._raise_if_only_the_call_was_cancelled()
                    raise
                else:
                    self._finish(await self._metadata())
                    return
                await asyncio.sleep(delay)
                self._start()
        finally:
            # grpc.aio goes on receiving when the consumer breaks out of the loop.
            self.cancel()

    def _messages(self) -> AsyncIterator[Any]:
        """What the call receives."""
        return aiter(self._call)

    async def _metadata(self) -> Metadata:
        """What the call, which has ended, says beside its messages."""
        trailing: Metadata = await self._call.trailing_metadata()
        return trailing

    def _raise_if_only_the_call_was_cancelled(self) -> None:
        task = asyncio.current_task()
        if self._ended and task is not None and not task.cancelling():
            raise Cancelled("the stream was cancelled")
