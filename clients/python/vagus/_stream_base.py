"""What both kinds of stream share: the call, its attempts and what has arrived."""

from collections.abc import Callable
from typing import Any

from vagus._constants import REQUEST_ID_KEY
from vagus._decode import Accumulator
from vagus._errors import Cancelled
from vagus._result import Event, Result
from vagus._retry import Attempts
from vagus._status import Metadata, metadata_text


class StreamBase:
    """State of one streamed generation.

    Args:
        start: Starts the call, given the seconds that it may take.
        attempts: The attempts that it has.
        continuations: How many were asked for.
    """

    def __init__(
        self, start: Callable[[float], Any], attempts: Attempts, continuations: int = 1
    ) -> None:
        self._start_call = start
        self._attempts = attempts
        self._accumulator = Accumulator(continuations)
        self._call: Any = None
        self._received = 0
        self._ended = False

    @property
    def result(self) -> Result:
        """What has arrived so far; the whole once the iteration has ended by itself."""
        return self._accumulator.result

    def cancel(self) -> None:
        """Cancel the call, unless it has ended."""
        self._ended = True
        if self._call is not None:
            self._call.cancel()

    def _start(self) -> None:
        if self._ended:
            raise Cancelled("the stream was cancelled")
        self._call = self._start_call(self._attempts.remaining())

    def _check_open(self) -> None:
        if self._call is None:
            raise RuntimeError("open the stream first: use it in a with block")

    def _take(self, message: Any) -> Event:
        """The event of a message."""
        self._received += 1
        return self._accumulator.push(message)

    def _finish(self, trailing: Metadata) -> None:
        self._ended = True
        self._accumulator.request_id = metadata_text(trailing, REQUEST_ID_KEY)
        self._accumulator.check_complete()
