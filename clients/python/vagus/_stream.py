"""A streamed generation."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from types import TracebackType
from typing import Self, cast

import grpc

from vagus._result import Event
from vagus._status import RpcStatus
from vagus._stream_base import StreamBase


class Stream(StreamBase):
    """Events of one generation. Use it as `with client.stream(...) as stream`.

    Leaving the block cancels the call, and so does leaving the iteration before its end.
    """

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.cancel()

    def __iter__(self) -> Iterator[Event]:
        return self._events()

    @property
    def text(self) -> Iterator[str]:
        """The text, piece by piece; of the first continuation."""
        return self._texts()

    def _texts(self) -> Iterator[str]:
        with closing(self._events()) as events:
            for event in events:
                if event.text and not event.index:
                    yield event.text

    def _events(self) -> Generator[Event, None, None]:
        self._check_open()
        try:
            while not self._ended:
                try:
                    for message in self._call:
                        yield self._take(message)
                except grpc.RpcError as failure:
                    status = cast(RpcStatus, failure)
                    delay = self._attempts.delay_after(status, messages=self._received)
                else:
                    self._finish(self._call.trailing_metadata())
                    return
                time.sleep(delay)
                self._start()
        finally:
            self.cancel()
