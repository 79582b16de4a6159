"""Lets one test drive the blocking client and the asyncio client alike."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Protocol, TypeAlias

from vagus import AsyncClient, AsyncConversation, Client, Conversation, Event, Result

AnyConversation: TypeAlias = Conversation | AsyncConversation
Act: TypeAlias = Callable[[AnyConversation, Event | None], object]
"""Called with a conversation when it is opened, and at each of its events."""


class Driver(Protocol):
    """One kind of client."""

    async def call(self, target: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Make one unary call with a client of its own."""
        ...

    async def collect(self, target: str, **kwargs: Any) -> tuple[list[Event], Result]:
        """Stream to the end."""
        ...

    async def converse(self, target: str, act: Act, **kwargs: Any) -> AnyConversation:
        """Converse to the end, acting on the way."""
        ...


class SyncDriver:
    """Runs the blocking client in a thread, beside the server's event loop."""

    async def call(self, target: str, method: str, *args: Any, **kwargs: Any) -> Any:
        options = kwargs.pop("client", {})

        def run() -> Any:
            with Client(target, **options) as client:
                return getattr(client, method)(*args, **kwargs)

        return await asyncio.to_thread(run)

    async def collect(self, target: str, **kwargs: Any) -> tuple[list[Event], Result]:
        options = kwargs.pop("client", {})

        def run() -> tuple[list[Event], Result]:
            with Client(target, **options) as client, client.stream("Hi", **kwargs) as stream:
                return list(stream), stream.result

        return await asyncio.to_thread(run)

    async def converse(self, target: str, act: Act, **kwargs: Any) -> AnyConversation:
        def run() -> AnyConversation:
            with Client(target) as client, client.converse("Hi", **kwargs) as conversation:
                act(conversation, None)
                for event in conversation:
                    act(conversation, event)
            return conversation

        return await asyncio.to_thread(run)


class AsyncDriver:
    """Runs the asyncio client on the server's event loop."""

    async def call(self, target: str, method: str, *args: Any, **kwargs: Any) -> Any:
        async with AsyncClient(target, **kwargs.pop("client", {})) as client:
            return await getattr(client, method)(*args, **kwargs)

    async def collect(self, target: str, **kwargs: Any) -> tuple[list[Event], Result]:
        options = kwargs.pop("client", {})
        async with (
            AsyncClient(target, **options) as client,
            client.stream("Hi", **kwargs) as stream,
        ):
            return [event async for event in stream], stream.result

    async def converse(self, target: str, act: Act, **kwargs: Any) -> AnyConversation:
        async with (
            AsyncClient(target) as client,
            client.converse("Hi", **kwargs) as conversation,
        ):
            act(conversation, None)
            async for event in conversation:
                act(conversation, event)
        return conversation


def asynchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Lets pytest run a coroutine function. Hangs fail after 30 s."""

    @wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 30))

    return run
