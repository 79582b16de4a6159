"""Remembers on disk which texts have been seen, so that memory does not grow with their number."""

import hashlib
import sqlite3
from types import TracebackType
from typing import Self


class Seen:
    """A set of texts by their digests, in a temporary file that goes with the object."""

    def __enter__(self) -> Self:
        # An empty name is SQLite's own temporary file; its page cache is bounded.
        self._db = sqlite3.connect("")
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (digest BLOB PRIMARY KEY) WITHOUT ROWID")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._db.close()

    def add(self, text: str) -> bool:
        """Adds a text; whether it is new."""
        digest = hashlib.sha256(text.encode()).digest()
        return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (digest,)).rowcount == 1
