"""Streams go out as fast as their readers take them, and no faster.

A write waits while the reader's flow-control window is full. Meanwhile the engine goes on, and
what arises is merged into one output per stream: a slow reader gets the same tokens and
readouts in fewer messages. Nothing is dropped; a reader that stands still is ended.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc

from vagus_server.engine.request import EngineOutput
from vagus_server.errors import ApiError

#: Tokens of a message at most: rendering more of them at once would hold up other streams.
MESSAGE_TOKENS = 32
#: Tokens that may wait for a reader: 12 MiB of readouts of 171 concepts.
MOST_BEHIND = 8192


async def write(context: Any, message: Any, seconds: float) -> None:
    """Sends a message of a stream, when its reader has room for it.

    Raises:
        ApiError: READER_TOO_SLOW, when it has had none for so many seconds.
        asyncio.CancelledError: the call has ended.
    """
    try:
        async with asyncio.timeout(seconds):
            await context.write(message)
    except TimeoutError:
        raise ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "READER_TOO_SLOW",
            f"no message was taken for {seconds:g} seconds",
            seconds=f"{seconds:g}",
        ) from None
    except (grpc.aio.InternalError, grpc.aio.UsageError):
        # The connection broke while the message went out; gRPC has not cancelled us yet.
        raise asyncio.CancelledError from None


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
