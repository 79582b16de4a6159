"""The caller's messages: parsed without harm, checked, and waited for in bounded time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from vagus_server.errors import ApiError
from vagus_server.services.unknown import check_known

#: How long a call's first message may take: until it is there, the call costs and does nothing.
_MESSAGE_SECONDS = 60.0


class _Malformed:
    """Stands for a message that could not be parsed, so that our handler answers for it."""


def tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """A parser that marks what it cannot parse; `checked` refuses it."""

    def parse_or_mark(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            # gRPC itself would answer INTERNAL; a message that is not one is the caller's.
            return _Malformed()

    return parse_or_mark


def unread(_: bytes) -> None:
    """Parses nothing: for callers who are refused whatever they say."""
    return None


async def checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    """The messages; raises ApiError at one that is damaged or has unknown fields."""
    async for request in requests:
        if isinstance(request, _Malformed):
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "FIELD_INVALID",
                "the message cannot be parsed: it is damaged, or a string is not valid UTF-8",
                field="",
            )
        check_known(request)
        yield request


async def first(requests: AsyncIterator[Any]) -> Any | None:
    """The first message, None where there is none; raises ApiError where it does not come."""
    try:
        async with asyncio.timeout(_MESSAGE_SECONDS):
            async for request in requests:
                return request
    except TimeoutError:
        raise ApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_PASSED",
            f"no message came within {_MESSAGE_SECONDS:g} seconds",
            stage="message",
        ) from None
    return None


async def only(requests: AsyncIterator[Any]) -> Any:
    """The message of a call that takes one; raises ApiError where none comes."""
    request = await first(checked(requests))
    if request is None:
        raise ApiError(
            grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", "the call has no message", field=""
        )
    return request
