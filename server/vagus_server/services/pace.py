"""Streams go out as fast as their readers take them, and no faster.

A write waits while the reader's flow-control window is full. Meanwhile the engine goes on, and
what arises is merged into one output per stream: a slow reader gets the same tokens and
readouts in fewer messages. Nothing is dropped; a reader that stands still is ended.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Self

import grpc

from vagus_server.engine.request import EngineOutput
from vagus_server.errors import ApiError

#: Tokens of a message at most: rendering more of them at once would hold up other streams.
MESSAGE_TOKENS = 32
#: Tokens that may wait for a reader: 12 MiB of readouts of 171 concepts.
MOST_BEHIND = 8192


class Writer:
    """Sends the messages of a stream, each when its reader has room for it.

    One timer watches over the whole stream: it looks now and then how long a message has waited.

    Args:
        context: the call's.
        seconds: how long the reader may take nothing.
    """

    def __init__(self, context: Any, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        #: When the message that waits was given to gRPC; None while none does.
        self._since: float | None = None
        self._scope = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        await self._scope.__aenter__()
        self._timer = self._loop.call_later(self._seconds, self._look)
        return self

    async def __aexit__(self, *error: Any) -> None:
        """Raises ApiError READER_TOO_SLOW when the reader was."""
        self._timer.cancel()
        try:
            await self._scope.__aexit__(*error)
        except TimeoutError:
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "READER_TOO_SLOW",
                f"no message was taken for {self._seconds:g} seconds",
                seconds=f"{self._seconds:g}",
            ) from None

    def _look(self) -> None:
        now = self._loop.time()
        end = (now if self._since is None else self._since) + self._seconds
        if now < end:
            self._timer = self._loop.call_at(end, self._look)
        else:
            self._scope.reschedule(now)

    async def write(self, message: Any) -> None:
        """Sends a message; raises asyncio.CancelledError when the call has ended."""
        self._since = self._loop.time()
        try:
            await self._context.write(message)
        except (grpc.aio.InternalError, grpc.aio.UsageError):
            # The connection broke while the message went out; gRPC has not cancelled us yet.
            raise asyncio.CancelledError from None
        finally:
            self._since = None


def parts(output: EngineOutput) -> Iterator[EngineOutput]:
    """The output in parts of at most MESSAGE_TOKENS; text and finish are the last one's.

    Raises:
        ApiError: READER_TOO_SLOW, when more than MOST_BEHIND tokens have waited.
    """
    count = len(output.token_ids)
    if count > MOST_BEHIND:
        raise ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "READER_TOO_SLOW",
            f"{count} tokens wait to be taken, more than {MOST_BEHIND}",
            tokens=count,
        )
    if count <= MESSAGE_TOKENS:
        yield output
        return
    start = 0
    while count - start > MESSAGE_TOKENS:
        end = start + MESSAGE_TOKENS
        yield _part(output, slice(start, end), text="", finish_reason=None, stop_reason=None)
        start = end
    yield _part(output, slice(start, None))


def _part(output: EngineOutput, tokens: slice, **other: Any) -> EngineOutput:
    return replace(
        output,
        token_ids=output.token_ids[tokens],
        logprobs=output.logprobs[tokens] if output.logprobs is not None else None,
        **other,
    )
