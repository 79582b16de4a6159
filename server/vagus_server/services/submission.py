"""The requests of a call: their ids are taken all at once, and each is let go as it ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Self

from vagus_server.engine.engine import Engine
from vagus_server.engine.request import EngineRequest
from vagus_server.engine.running import Running


class Submission:
    """Submits requests when the block begins; `run` hands each to whoever takes its outputs.

    The block has to begin in the turn of the loop in which their ids and the room for them were
    checked. The tasks that run them begin a turn later, and in between another call with the
    same ids would pass the check.
    """

    def __init__(self, engine: Engine, requests: Sequence[EngineRequest]) -> None:
        self._engine = engine
        self._requests = requests
        #: Those that nobody runs yet.
        self._idle: dict[str, Running] = {}

    def __enter__(self) -> Self:
        try:
            for request in self._requests:
                self._idle[request.request_id] = self._engine.submit(request)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # Only those that nobody ran, because their task was cancelled before it began: the engine
        # may still be letting go of the others, and their ids are not free until it has.
        while self._idle:
            self._engine.close(self._idle.popitem()[1].request)

    @contextmanager
    def run(self, request: EngineRequest) -> Iterator[Running]:
        """One of the requests; it is over, and its id free, when this block ends."""
        running = self._idle.pop(request.request_id)
        try:
            yield running
        finally:
            self._engine.close(request)
