"""The audit log: what it says, what it leaves out, and what happens without it."""

import json
import resource
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest

from support.keyring import KeyFile, adding
from support.programs import operation
from support.refusals import refused
from support.small_pack import HIDDEN, SITES
from support.small_service import SmallService
from support.uploads import concepts, delete, upload
from vagus.v1.prompt_pb2 import Prompt
from vagus_server.access.access import Caller
from vagus_server.access.audit import Audit
from vagus_server.access.keys import Keys
from vagus_server.services.context import Call
from vagus_server.steering.program import Program

ROWS = np.random.default_rng(1).normal(size=(SITES, HIDDEN)).astype(np.float32)
PROGRAM = Program((operation(1, 3, doses=(0.25, -0.5)),))
SECRET = Prompt(text="my secret")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def steering(path: Path, *, texts: bool = False, program: Program = PROGRAM) -> Call:
    call = Call("Generate", Caller("acme", key="0123"), "r1", "ipv4:1", Audit(path, texts=texts))
    call.note_steering([program], [SECRET])
    return call


def test_steering_is_written_before_it_begins_and_its_end_after(path: Path) -> None:
    call = steering(path)
    (begin,) = lines(path)
    who = {"request_id": "r1", "tenant": "acme", "key": "0123", "method": "Generate"}
    assert begin.items() >= {"event": "steer", **who, "peer": "ipv4:1", "dose": 0.75}.items()
    assert begin["program_digest"] == PROGRAM.digest.hex()
    (told,) = begin["operations"]
    assert told == {
        "action": "add",
        "concept": "calm",
        "concept_digest": PROGRAM.operations[0].vectors.digest,
        "sites": [1, 3],
        "doses": [0.25, -0.5],
        "scope": PROGRAM.operations[0].scope_text,
    }
    request = SimpleNamespace(program=PROGRAM, token_ids=[1, 2], most_tokens=12)
    ledger = SimpleNamespace(steered_tokens=lambda end: end)
    running: Any = SimpleNamespace(
        request=request,
        generated=4,
        balanced=True,
        ledger=ledger,
        processed_end=5,
        steered=True,
    )
    call.ended(running)
    call.note_end(grpc.StatusCode.OK, "")
    _, end = lines(path)
    assert end.items() >= {"event": "end", **who, "code": "OK", "reason": ""}.items()
    assert end["requests"] == [{"generated_tokens": 4, "steered_tokens": 5, "receipt": "verified"}]


def test_texts_only_where_they_are_asked_for(path: Path) -> None:
    steering(path)
    assert "secret" not in path.read_text()
    steering(path, texts=True)
    assert lines(path)[1]["prompt"] == {"text": "my secret"}


def test_what_steers_nothing_is_not_there(path: Path) -> None:
    call = steering(path, program=Program())
    call.note_end(grpc.StatusCode.OK, "")
    assert lines(path) == []


def test_only_its_owner_reads_it_and_it_can_be_rotated(path: Path) -> None:
    steering(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.rename(path.with_suffix(".1"))
    steering(path)
    assert len(lines(path)) == len(lines(path.with_suffix(".1"))) == 1
    steering(path)
    assert len(lines(path)) == 2


def test_a_log_that_cannot_be_written_to_is_refused_at_the_start(tmp_path: Path) -> None:
    for bad in (tmp_path, tmp_path / "nowhere" / "audit.jsonl"):
        with pytest.raises(OSError, match=str(bad)):
            Audit(bad)


def test_uploads_deletions_and_refusals(path: Path, tmp_path: Path) -> None:
    keyring = KeyFile(tmp_path / "keys.toml")
    keys = Keys(keyring.path)
    with SmallService(keys=keys, audit=Audit(path)) as service:
        reader, writer = (
            adding(service.channel, keyring.metadata("acme", scope))
            for scope in ("read", "concepts-write")
        )
        # Strangers are not written down: they could fill the disk.
        assert refused(lambda: concepts(service.channel)).info.reason == "API_KEY_MISSING"
        assert refused(lambda: upload(reader, ROWS, name="mine")).info.reason == "SCOPE_MISSING"
        digest = upload(writer, ROWS, name="mine").digest
        assert "mine" in concepts(reader)
        delete(writer, "mine")
        refused(lambda: delete(writer, "mine"))
    found = keys.find(keyring.key("acme", "concepts-write"))
    told = lines(path)
    assert [(one["event"], one.get("code"), one.get("reason")) for one in told] == [
        ("refused", None, None),
        ("end", "PERMISSION_DENIED", "SCOPE_MISSING"),
        ("upload", None, None),
        ("end", "OK", ""),
        ("delete", None, None),
        ("end", "OK", ""),
        ("delete", None, None),
        ("end", "NOT_FOUND", "CONCEPT_NOT_FOUND"),
    ]
    assert told[2].items() >= {"concept": "mine", "concept_digest": digest}.items()
    assert {one["tenant"] for one in told} == {"acme"}
    assert found is not None
    assert {one["key"] for one in told[2:]} == {found.id}
    assert "vagus_" not in path.read_text()


def test_what_cannot_be_written_down_is_not_done(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SmallService(audit=Audit(path)) as service:
        upload(service.channel, ROWS, name="mine")
        path.unlink()
        path.symlink_to("/dev/full")
        for call in (
            lambda: upload(service.channel, ROWS, name="other"),
            lambda: delete(service.channel, "mine"),
        ):
            assert refused(call).info.reason == "INTERNAL"
        assert "No space left" in caplog.text
        assert {"mine", "other"} & set(concepts(service.channel)) == {"mine"}


def test_a_line_that_did_not_fit_leaves_nothing_behind(path: Path) -> None:
    audit = Audit(path)
    audit.write("first")
    before = path.read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    # As a disk that is nearly full: of the next line a piece is written.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 20, limit[1]))
    try:
        with pytest.raises(OSError, match="No space left"):
            audit.write("second")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    audit.write("third")
    assert [line["event"] for line in lines(path)] == ["first", "third"]
