"""What a conversation sends, for both kinds of client.

Messages are kept: each attempt of the call sends them from the first on.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Protocol

from vagus.v1.generation_service_pb2 import ConverseRequest


class AnyOutbox(Protocol):
    """Either of both."""

    def put(self, message: ConverseRequest) -> None:
        """Send a message when its turn comes."""

    def close(self) -> None:
        """Send no more."""


class Outbox:
    """Messages for a thread of gRPC's, which waits for them."""

    def __init__(self, first: ConverseRequest) -> None:
        self._messages = [first]
        self._closed = False
        self._news = threading.Condition()

    def put(self, message: ConverseRequest) -> None:
        """Send a message when its turn comes."""
        with self._news:
            self._messages.append(message)
            self._news.notify_all()

    def close(self) -> None:
        """Send no more, and let the waiting thread go."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def __iter__(self) -> Iterator[ConverseRequest]:
        sent = 0
        while (message := self._wait(sent)) is not None:
            yield message
            sent += 1

    def _wait(self, sent: int) -> ConverseRequest | None:
        with self._news:
            self._news.wait_for(lambda: self._closed or sent < len(self._messages))
            return None if self._closed else self._messages[sent]


class AsyncOutbox:
    """Messages for a task of gRPC's, on the event loop that also puts them."""

    def __init__(self, first: ConverseRequest) -> None:
        self._messages = [first]
        self._closed = False
        self._news = asyncio.Event()

    def put(self, message: ConverseRequest) -> None:
        """Send a message when its turn comes."""
        self._messages.append(message)
        self._news.set()

    def close(self) -> None:
        """Send no more, and let the waiting task go."""
        self._closed = True
        self._news.set()

    async def __aiter__(self) -> AsyncIterator[ConverseRequest]:
        sent = 0
        while not self._closed:
            if sent < len(self._messages):
                yield self._messages[sent]
                sent += 1
            else:
                self._news.clear()
                await self._news.wait()
