"""The vector bank: the one way in which vectors get to the device, and stay while needed.

A request's program names contents; `holding` puts them on the device, says in which rows, and
keeps them there until the request has ended. Concepts that can be named are held throughout, so
naming one never waits and never finds the bank full.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from vagus_server.concepts.vectors import Vectors
from vagus_server.engine.rows import Rows

#: Writes a row of the bank on every worker.
Write = Callable[[int, bytes], Awaitable[None]]


class VectorBank:
    """Holds vectors on the device by content: equal ones share a row.

    Args:
        count: rows of the bank, with row 0 for "nothing".
        write: writes a row.
    """

    def __init__(self, count: int, write: Write) -> None:
        self.rows = Rows(count)
        self._write = write
        #: Of contents whose row is being written, or could not be.
        self._writes: dict[str, asyncio.Task[None]] = {}

    async def acquire(self, vectors: Vectors) -> int:
        """Puts vectors on the device, unless they are there, for one more user; gives the row.

        Raises:
            BankFull: nothing has changed.
        """
        digest = vectors.digest
        row, fresh = self.rows.acquire(digest)
        if fresh:
            # The task is a user of its own: a row must not pass to others while it is written,
            # even when all who wanted it have gone.
            self.rows.acquire(digest)
            self._writes[digest] = asyncio.create_task(self._load(row, vectors))
        try:
            if digest in self._writes:
                await asyncio.shield(self._writes[digest])
        except BaseException:
            self.release(vectors)
            raise
        return row

    async def _load(self, row: int, vectors: Vectors) -> None:
        try:
            await self._write(row, vectors.tobytes())
            del self._writes[vectors.digest]
        finally:
            self.release(vectors)

    def release(self, vectors: Vectors) -> None:
        """Lets go of one use."""
        digest = vectors.digest
        written = digest not in self._writes
        self.rows.release(digest, keep=written)
        if not written and not self.rows.uses(digest):
            del self._writes[digest]

    @asynccontextmanager
    async def holding(self, contents: Iterable[Vectors]) -> AsyncGenerator[Mapping[str, int]]:
        """Holds vectors while the block runs; gives their rows by digest.

        Raises:
            BankFull: nothing has changed.
        """
        held: list[Vectors] = []
        row_of: dict[str, int] = {}
        try:
            for vectors in contents:
                row_of[vectors.digest] = await self.acquire(vectors)
                held.append(vectors)
            yield row_of
        finally:
            for vectors in held:
                self.release(vectors)
