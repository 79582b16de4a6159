"""Uploaded concepts on disk: an SQLite database in which each change is one transaction.

A process that is killed at any point leaves the state before the change or after it: SQLite's
write-ahead log with synchronous=FULL, where a transaction counts once its last page is on disk.
"""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vagus_server.concepts.concept import Concept, Reference
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.vectors import Vectors

_FILE = "concepts.sqlite3"
_VERSION = 1
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS vectors (digest TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS concepts (
  model TEXT NOT NULL,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  digest TEXT NOT NULL REFERENCES vectors (digest),
  reference TEXT NOT NULL,
  description TEXT NOT NULL,
  created TEXT NOT NULL,
  PRIMARY KEY (model, tenant, name)
) WITHOUT ROWID;
PRAGMA user_version = {_VERSION};
COMMIT;
"""


class StoreError(ValueError):
    """The state cannot be used; the message says why."""


class StoreFull(RuntimeError):
    """The disk takes no more. Nothing was changed."""


#: No space left, or a file that may not grow further.
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE)


class Stored(NamedTuple):
    """A concept and whose it is."""

    tenant: str
    concept: Concept


class Store:
    """The concepts uploaded for one model. Not for several threads at once.

    Args:
        folder: made if need be; no other process may use it meanwhile.
        model: fingerprint; those of other models stay as they are.

    Raises:
        StoreError: another server uses the folder, or its database is damaged.
    """

    def __init__(self, folder: Path, model: str) -> None:
        self._model = model
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / _FILE
        self._db = sqlite3.connect(
            self._file, timeout=0, isolation_level=None, check_same_thread=False
        )
        try:
            # Held until the process ends, however it ends: two servers that share a state would
            # not see each other's changes.
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA foreign_keys = ON")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version not in (0, _VERSION):
                raise StoreError(f"{self._file} was written by a newer server")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._db.close()
            busy = getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
            problem = "is in use by another server" if busy else f"cannot be used: {error}"
            raise StoreError(f"the state {self._file} {problem}") from None

    def load(self, shape: Shape) -> list[Stored]:
        """All concepts, each with the contents that its digest promises; raises StoreError."""
        query = (
            "SELECT tenant, name, concepts.digest, reference, description, created, data "
            "FROM concepts JOIN vectors USING (digest) WHERE model = ? ORDER BY created, name"
        )
        found = []
        with closing(self._db.execute(query, (self._model,))) as rows:
            for tenant, name, digest, reference, description, created, data in rows:
                if len(data) != shape.sites * shape.hidden * 2:
                    raise self._damaged(name)
                array = np.frombuffer(data, dtype="<f2").reshape(shape.sites, shape.hidden)
                vectors = Vectors.of(array)
                if vectors.digest != digest:
                    raise self._damaged(name)
                stated = {int(site): Reference(*r) for site, r in json.loads(reference).items()}
                found.append(Stored(tenant, Concept(name, vectors, stated, description, created)))
        return found

    def _damaged(self, name: str) -> StoreError:
        return StoreError(f"the state {self._file} is damaged: vectors of the concept {name!r}")

    def put(self, tenant: str, concept: Concept) -> None:
        """Keeps a concept, in place of the tenant's one of that name; raises StoreFull."""
        vectors = concept.vectors
        with self._change():
            self._db.execute(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?)", (vectors.digest, vectors.tobytes())
            )
            self._db.execute(
                "INSERT OR REPLACE INTO concepts VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    self._model,
                    tenant,
                    concept.name,
                    vectors.digest,
                    json.dumps(concept.reference),
                    concept.description,
                    concept.created,
                ),
            )
            self._drop_unnamed()

    def delete(self, tenant: str, name: str) -> None:
        """Forgets a concept; raises StoreFull."""
        with self._change():
            self._db.execute(
                "DELETE FROM concepts WHERE model = ? AND tenant = ? AND name = ?",
                (self._model, tenant, name),
            )
            self._drop_unnamed()

    @contextmanager
    def _change(self) -> Iterator[None]:
        try:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in _FULL:
                raise StoreFull from error
            raise

    def _drop_unnamed(self) -> None:
        self._db.execute("DELETE FROM vectors WHERE digest NOT IN (SELECT digest FROM concepts)")

    def close(self) -> None:
        """Lets go of the folder."""
        self._db.close()
