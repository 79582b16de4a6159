"""A disk that takes no more: uploads say so, and what was there before stays as it was."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode

from support.refusals import Refusal, Refused, check, refused
from support.small_pack import HIDDEN, SITES
from support.small_service import SmallService
from support.uploads import concepts, delete, upload
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.store import Store

FULL = Refusal(StatusCode.RESOURCE_EXHAUSTED, "STATE_FULL")
SHAPE = Shape(SITES, HIDDEN)


def rows(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(SITES, HIDDEN)).astype(np.float32)


@contextmanager
def no_space(store: Store, folder: Path) -> Iterator[None]:
    """What SQLite makes of ENOSPC: the database may not have another page."""
    (most,) = store._db.execute("PRAGMA max_page_count").fetchone()
    store._db.execute("PRAGMA max_page_count = 1")  # as many as there are
    yield
    store._db.execute(f"PRAGMA max_page_count = {most}")


@contextmanager
def no_growth(store: Store, folder: Path) -> Iterator[None]:
    """A real limit: writes beyond what the log has now fail with EFBIG."""
    size = max(file.stat().st_size for file in folder.iterdir())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("full", [no_space, no_growth])
def test_a_full_disk(full: Callable[..., Any], tmp_path: Path) -> None:
    store = Store(tmp_path, "0" * 32)
    with SmallService(store) as service:
        # More than a page each, so that the next change needs room.
        text = "é" * 1000
        for n in range(8):
            upload(service.channel, rows(n), name=f"kept {n}", description=text)
        listed = concepts(service.channel)
        used = service.sample("vagus_vector_rows_used")
        with full(store, tmp_path):
            taken = 0
            while (refusal := attempt(service, 8 + taken, text)) is None:
                taken += 1
                assert taken < 40, "the disk was not full: the test tests nothing"
            check(refusal, FULL, {})
            names = set(concepts(service.channel))
            assert len(names) == len(listed) + taken
            assert service.sample("vagus_vector_rows_used") == used + taken
        # With room again, the same upload goes through, and so does its end.
        upload(service.channel, rows(99), name="late", description=text)
        delete(service.channel, "kept 0")
        kept = {name for name in concepts(service.channel) if name.startswith(("kept", "late"))}
    assert {stored.concept.name for stored in store.load(SHAPE)} == kept
    store.close()
    opened = Store(tmp_path, "0" * 32)
    assert {stored.concept.name for stored in opened.load(SHAPE)} == kept
    opened.close()


def attempt(service: SmallService, n: int, text: str) -> Refused | None:
    """An upload; None when it was taken."""
    try:
        upload(service.channel, rows(n), name=f"kept {n}", description=text)
    except grpc.RpcError as error:
        return refused(partial(_raise, error))
    return None


def _raise(error: Exception) -> None:
    raise error
