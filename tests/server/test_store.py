"""Uploaded concepts on disk: what was answered is there, whole, however the process ended."""

import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support import store_driver
from support.store_driver import SHAPE, change
from vagus_server.concepts.concept import Concept, Reference
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.store import Store, Stored, StoreError
from vagus_server.concepts.vectors import Vectors

State = dict[str, Concept]
SMALL = Shape(sites=3, hidden=4)


def concept(name: str, value: float = 1.0, **fields: object) -> Concept:
    array = np.full((SMALL.sites, SMALL.hidden), value, dtype=np.float16)
    return Concept(name, Vectors.of(array), created="2026-11-24T00:00:00+00:00", **fields)


def load(folder: Path, shape: Shape = SMALL, model: str = "model") -> list[Stored]:
    store = Store(folder, model)
    try:
        return store.load(shape)
    finally:
        store.close()


def test_what_was_put_is_loaded_as_it_was(tmp_path: Path) -> None:
    calm = concept("calm", 0.5, reference={2: Reference(0.1, 1e-9)}, description="é 🙂")
    store = Store(tmp_path / "deep" / "state", "model")
    store.put("", calm)
    store.put("other", concept("calm", 2.0))
    store.put("", concept("sad"))
    store.delete("", "sad")
    store.delete("", "never there")
    store.close()
    loaded = load(tmp_path / "deep" / "state")
    assert loaded == [Stored("", calm), Stored("other", concept("calm", 2.0))]
    assert loaded[0].concept.vectors.tobytes() == calm.vectors.tobytes()


def test_models_do_not_see_each_others_concepts(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    store.put("", concept("calm"))
    store.close()
    assert load(tmp_path, Shape(9, 9), "another model") == []
    assert len(load(tmp_path)) == 1


def test_contents_are_kept_once_and_go_with_their_last_name(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")

    def count() -> int:
        return store._db.execute("SELECT count(*) FROM vectors").fetchone()[0]

    store.put("", concept("calm"))
    store.put("other", concept("still"))
    assert count() == 1
    store.put("", concept("calm", 2.0))
    assert count() == 2
    store.delete("other", "still")
    assert count() == 1
    store.delete("", "calm")
    assert count() == 0
    store.close()


def test_two_servers_cannot_use_one_state(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    with pytest.raises(StoreError, match="in use by another server"):
        Store(tmp_path, "model")
    store.close()
    assert load(tmp_path) == []


def test_damage_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, "model")
    store.put("", concept("calm"))
    store.close()
    file = tmp_path / "concepts.sqlite3"
    with sqlite3.connect(file) as db:
        db.execute("UPDATE vectors SET data = zeroblob(length(data))")
    db.close()
    with pytest.raises(StoreError, match="damaged"):
        load(tmp_path)
    with pytest.raises(StoreError, match="damaged"):
        load(tmp_path, Shape(2, 2))
    file.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="cannot be used"):
        load(tmp_path)


def test_a_state_of_a_newer_server_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, "model").close()
    with sqlite3.connect(tmp_path / "concepts.sqlite3") as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(StoreError, match="newer server"):
        Store(tmp_path, "model")


def apply(state: State, seed: int, number: int) -> State:
    name, new = change(seed, number)
    rest = {key: value for key, value in state.items() if key != name}
    return rest if new is None else {**rest, name: new}


def run_and_kill(folder: Path, seed: int, first: int, draw: random.Random) -> tuple[int, int]:
    """The first change that was not answered, and one past the last that was begun."""
    command = [sys.executable, store_driver.__file__, str(folder), str(seed), str(first)]
    last, changes = first, draw.randrange(1, 12)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == f"begin {first + changes}\n":
                # Somewhere in the change, or in one of the next.
                for _ in range(draw.randrange(20_000)):
                    pass
                process.send_signal(signal.SIGKILL)
            word, number = line.split()
            last = max(last, int(number) + (word == "done"))
        assert process.wait(30) == -signal.SIGKILL
    return last, int(number) + 1


def test_a_killed_process_leaves_the_state_before_a_change_or_after_it(tmp_path: Path) -> None:
    draw, seed, number = random.Random(7), 3, 0
    state: State = {}
    for _ in range(10):
        answered, begun = run_and_kill(tmp_path, seed, number, draw)
        for n in range(number, answered):
            state = apply(state, seed, n)
        found = {s.concept.name: s.concept for s in load(tmp_path, SHAPE)}
        if found != state:
            assert begun > answered, "an answered change is missing"
            state, answered = apply(state, seed, answered), begun
            assert found == state
        number = answered


def test_a_log_that_ends_anywhere_holds_whole_changes(tmp_path: Path) -> None:
    """As a disk leaves it that lost power: what came after the last sync is cut off."""
    store, states = Store(tmp_path / "live", "model"), [State()]
    for number in range(6):
        name, new = change(5, number)
        if new is None:
            store.delete("tenant", name)
        else:
            store.put("tenant", new)
        states.append(apply(states[-1], 5, number))
    files = sorted((tmp_path / "live").iterdir())
    wal = next(file for file in files if file.name.endswith("-wal"))
    draw, size = random.Random(1), wal.stat().st_size
    assert size > 100_000
    for cut in [0, 31, size, *(draw.randrange(size) for _ in range(40))]:
        folder = tmp_path / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in files:
            shutil.copy(file, folder)
        with (folder / wal.name).open("r+b") as log:
            log.truncate(cut)
        found = {s.concept.name: s.concept for s in load(folder, SHAPE)}
        assert found in states, cut
        assert found == states[-1] or cut < size
    store.close()
