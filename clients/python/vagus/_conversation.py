"""A streamed generation that can be changed while it runs, for both kinds of client."""

from collections.abc import AsyncIterator
from typing import Any

from grpc.aio import AioRpcError

from vagus._async_stream import AsyncStream
from vagus._conversation_base import ConversationBase
from vagus._status import Metadata
from vagus._stream import Stream


class Conversation(ConversationBase, Stream):
    """A `Stream` with `change`. Use it as `with client.converse(...) as conversation`.

    The thread that iterates may change it, and so may others.
    """


class AsyncConversation(ConversationBase, AsyncStream):
    """An `AsyncStream` with `change`. Use it as `async with client.converse(...)`.

    `change` is an ordinary method: there is nothing to wait for. Call it on the event loop.
    """

    async def _messages(self) -> AsyncIterator[Any]:
        try:
            async for message in self._call:
                yield message
        except AioRpcError:
            # Where a change meets the call's end on its way, grpc.aio reports that in place of the
            # status with which the call has ended.
            if not (self._accumulator.is_complete and self._waits):
                raise

    async def _metadata(self) -> Metadata:
        # In that case there is no trailing metadata; what it says has come before as well.
        initial = await self._call.initial_metadata()
        return (*initial, *await self._call.trailing_metadata())
