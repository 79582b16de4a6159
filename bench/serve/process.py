"""A process that holds one engine for the whole run, and the handle on it."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from bench.serve.measure import Round
from bench.serve.modes import BenchmarkError, Mode, Work


@dataclass(frozen=True)
class Settings:
    """What both engines are started with.

    Args:
        model: folder of the model.
        pack: folder of the concept pack; the stock engine does not read it.
        engine: keyword arguments of Vagus's EngineSettings, without model.
        stock_processes: the stock engine's worker runs where vLLM puts it by itself: of a CPU, in
            a process of its own. Otherwise it runs where Vagus's does.
    """

    model: Path
    pack: Path
    engine: dict[str, Any] = field(default_factory=dict)
    stock_processes: bool = False


@dataclass(frozen=True)
class Started:
    """What a process says once its engine runs.

    Args:
        facts: what both engines must agree on.
        notes: what is recorded beside that.
        port: of its server; 0 without one.
    """

    facts: dict[str, str]
    notes: dict[str, str]
    port: int = 0


class EngineProcess:
    """A handle on one engine's process.

    Args:
        serve: runs in the process; see `engines.py`.
        settings: what the engine is started with.
    """

    def __init__(self, serve: Callable[[Connection, Settings], None], settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, settings))
        self._process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        """The process; the engine's other processes are its descendants."""
        assert self._process.pid is not None
        return self._process.pid

    async def started(self) -> Started:
        """Waits for the engine."""
        answer = await self._answer()
        assert isinstance(answer, Started)
        return answer

    async def run(self, mode: Mode | None, work: Work) -> Round:
        """Runs a round in the process; the stock engine has no modes."""
        self._connection.send((mode, work))
        answer = await self._answer()
        assert isinstance(answer, Round)
        return answer

    async def _answer(self) -> Started | Round:
        try:
            answer = await asyncio.to_thread(self._connection.recv)
        except EOFError:
            raise BenchmarkError("an engine's process has died; its own output says why") from None
        if isinstance(answer, Exception):
            raise BenchmarkError(f"{type(answer).__name__} in an engine's process: {answer}")
        assert isinstance(answer, Started | Round)
        return answer

    def close(self) -> None:
        """Ends the process, which shuts its engine down."""
        self._connection.close()
        self._process.join(30)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(10)


async def reporting(connection: Connection, main: Awaitable[None]) -> None:
    """Runs a process's own part, and tells the other side why it failed."""
    try:
        await main
    except Exception as error:
        # Its own class may need more than a message to be unpickled.
        connection.send(BenchmarkError(f"{type(error).__name__}: {error}"))
        raise


async def answer(
    connection: Connection, run: Callable[[Mode | None, Work], Awaitable[Round]]
) -> None:
    """Answers the other side until it hangs up."""
    while True:
        try:
            mode, work = await asyncio.to_thread(connection.recv)
        except EOFError:
            return
        connection.send(await run(mode, work))
