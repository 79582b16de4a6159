"""However a pack is damaged or forged, it loads as exactly what its files say, or is refused.

Never another exception, never much memory: the address space is capped while packs are loaded.
"""

import json
import os
import random
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from support.pack_mutations import MUTATIONS, Files, Mutation, restated
from vagus_server.packs.pack import (
    MANIFEST,
    SCHEMA_VERSION,
    TENSORS,
    ConceptInfo,
    Manifest,
    ModelInfo,
    Pack,
    PackError,
)
from vagus_server.packs.write import write_pack

ROUNDS = 1150  # of each of the nine kinds
HEADROOM = 64 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    concepts = [ConceptInfo(name, f"what {name} is") for name in ("calm", "on edge", "proud")]
    rng = np.random.default_rng(0)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name="small",
        version="1.0.0",
        license="Apache-2.0",
        created="2026-01-01T00:00:00+00:00",
        model=ModelInfo("model", "0" * 64, hidden_size=4, sites=2),
        concepts=concepts,
        readout_site=1,
        steering_site=0,
        tensors_sha256="",
        provenance={"fact": "figure", "another": "0.5"},
    )
    tensors = {
        "vectors": rng.standard_normal((3, 2, 4)),
        "residual_norms": np.array([1.0, 2.0]),
        "reference_mean": rng.standard_normal((3, 2)),
        "reference_std": np.ones((3, 2)),
    }
    write_pack(tmp_path, manifest, tensors)
    return tmp_path


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Makes an allocation of more than HEADROOM a MemoryError, which is no PackError."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + HEADROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def put(folder: Path, files: Files) -> None:
    (folder / MANIFEST).write_bytes(files[0])
    (folder / TENSORS).write_bytes(files[1])


def loaded(folder: Path) -> bool:
    """Whether the pack loads; if so, it has to be what an independent reader finds."""
    try:
        pack = Pack.load(folder)
    except PackError as error:
        if len(str(error)) > 1000:
            pytest.fail("the message repeats what the file says")
        return False
    stated = _strictly((folder / MANIFEST).read_bytes())
    for concept in stated["concepts"]:
        concept.setdefault("held_out_top1", None)
        concept.setdefault("held_out_top5", None)
    assert pack.manifest == msgspec.convert(stated, Manifest, str_keys=True)
    tensors = _tensors((folder / TENSORS).read_bytes())
    assert pack.vectors.tobytes() == tensors["vectors"].astype(np.float32).tobytes()
    assert pack.residual_norms == tensors["residual_norms"].tolist()
    assert pack.reference_mean.tobytes() == tensors["reference_mean"].tobytes()
    assert pack.reference_std.tobytes() == tensors["reference_std"].tobytes()
    assert np.isfinite(pack.unit_vectors).all()
    return True


def _strictly(data: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), "readers disagree about what is given twice"
        return dict(pairs)

    def never(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(data.decode(), object_pairs_hook=once, parse_constant=never)


def _tensors(data: bytes) -> dict[str, np.ndarray]:
    length = int.from_bytes(data[:8], "little")
    header, body = _strictly(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    spans = sorted(entry["data_offsets"] for entry in header.values())
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1][1] == len(body)
    kinds = {"F16": "<f2", "F32": "<f4"}
    return {
        name: np.frombuffer(body[slice(*entry["data_offsets"])], kinds[entry["dtype"]]).reshape(
            entry["shape"]
        )
        for name, entry in header.items()
    }


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[m.__name__ for m in MUTATIONS])
def test_a_mutated_pack_loads_exactly_or_is_refused(
    folder: Path, mutation: Mutation, little_memory: None
) -> None:
    original: Files = ((folder / MANIFEST).read_bytes(), (folder / TENSORS).read_bytes())
    assert loaded(folder)
    outcomes: Counter[bool] = Counter()
    for seed in range(ROUNDS):
        files = mutation(random.Random(seed), original)
        put(folder, files)
        try:
            outcomes[loaded(folder)] += 1
        except BaseException as error:
            pytest.fail(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}")
    assert outcomes[False] > ROUNDS / 20


def _symlink(to: str) -> Callable[[Path], None]:
    def put_there(path: Path) -> None:
        path.unlink()
        path.symlink_to(to)

    return put_there


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _sparse(path: Path) -> None:
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("name", [MANIFEST, TENSORS])
@pytest.mark.parametrize(
    ("place", "message"),
    [
        (_symlink("/dev/zero"), "is not a file"),
        (_symlink("/dev/null"), "is not a file"),
        (_symlink("/proc/self/environ"), "does not|cannot be read"),
        (_symlink("absent"), "cannot be read: No such file"),
        (_symlink(MANIFEST), "cannot be read: Too many levels|does not"),
        (_symlink(TENSORS), "cannot be read: Too many levels|does not|larger"),
        (_symlink("."), "cannot be read: Is a directory"),
        (_fifo, "is not a file"),
        (_folder, "cannot be read: Is a directory"),
        (_sparse, "is larger than"),
    ],
)
def test_a_file_of_another_kind_is_refused(
    folder: Path,
    name: str,
    place: Callable[[Path], None],
    message: str,
    little_memory: None,
) -> None:
    place(folder / name)
    with pytest.raises(PackError, match=message):
        Pack.load(folder)


def test_links_to_a_good_pack_are_followed(folder: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in (MANIFEST, TENSORS):
        (linked / name).symlink_to(folder / name)
    assert loaded(linked)


def test_a_manifest_that_asks_for_much_gets_nothing(folder: Path, little_memory: None) -> None:
    manifest, tensors = (folder / MANIFEST).read_bytes(), (folder / TENSORS).read_bytes()
    fields = json.loads(manifest)
    fields["model"].update(hidden_size=1 << 20, sites=1 << 20)
    put(folder, restated(json.dumps(fields).encode(), tensors))
    with pytest.raises(
        PackError, match=r"vectors is float16 \(3, 2, 4\), not float16 \(3, 1048576"
    ):
        Pack.load(folder)
