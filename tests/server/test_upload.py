"""Uploads on a real socket: each bad one refused with its reason, and nothing left behind."""

import hashlib
import json
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from support.examples import examples
from support.refusals import BAD, NO_CONCEPT, NO_MODEL, NO_PACK, NO_SITE, Refusal, check, refused
from support.small_pack import HIDDEN, SITES
from support.small_service import SmallService
from support.uploads import concepts, delete, parts, upload
from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus.v1.steering_pb2 import InlineVectors
from vagus_server.concepts.parse import Shape, parse_file, parse_inline
from vagus_server.concepts.store import Store
from vagus_server.errors import ApiError

VECTORS = Refusal(StatusCode.INVALID_ARGUMENT, "VECTORS_INVALID")
TAKEN = Refusal(StatusCode.ALREADY_EXISTS, "CONCEPT_EXISTS")
FULL = Refusal(StatusCode.RESOURCE_EXHAUSTED, "VECTOR_BANK_FULL")
SHAPE = Shape(SITES, HIDDEN)
NAN, INF = float("nan"), float("inf")
GOOD = np.random.default_rng(1).normal(size=(SITES, HIDDEN)).astype(np.float32)


@pytest.fixture(scope="module")
def service() -> Iterator[SmallService]:
    with SmallService() as running:
        yield running


def but(row: int, value: float) -> np.ndarray:
    rows = GOOD.copy()
    rows[row, 3] = value
    return rows


def tiny(row: int, factor: float) -> np.ndarray:
    rows = GOOD.copy()
    rows[row] *= factor
    return rows


def file(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype: str, shape: list[int], data: bytes) -> bytes:
    return file({"v": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}, data)


WHOLE = save({"v": GOOD})
HALF = GOOD.astype("<f2").tobytes()
# fmt: off
BAD_UPLOADS: list[tuple[str, dict[str, Any], bytes | np.ndarray, Refusal, dict[str, str]]] = [
    ("no name", {}, GOOD, BAD, {"field": "metadata.name"}),
    ("long name", {"name": "x" * 65}, GOOD, BAD, {"field": "metadata.name"}),
    ("name of a path", {"name": "../calm"}, GOOD, BAD, {"value": "../calm"}),
    ("name of a line", {"name": "calm\n"}, GOOD, BAD, {"field": "metadata.name"}),
    ("name with a blank end", {"name": "calm "}, GOOD, BAD, {"field": "metadata.name"}),
    ("name in pieces", {"name": "e\u0301"}, GOOD, BAD, {"field": "metadata.name"}),
    ("the pack's name", {"name": "calm"}, GOOD, TAKEN,
     {"field": "metadata.name", "concept": "calm"}),
    ("the pack's name again", {"name": "calm", "replace": True}, GOOD, TAKEN, {}),
    ("long description", {"description": "x" * 1001}, GOOD, BAD,
     {"field": "metadata.description", "value": "1001", "limit": "1000"}),
    ("other model", {"model_fingerprint": "1" * 32}, GOOD, NO_MODEL, {"model": "1" * 32}),
    ("other pack", {"pack": "large"}, GOOD, NO_PACK, {"pack": "large"}),
    ("unknown number type", {"dtype": "int8"}, GOOD, BAD, {"field": "metadata.dtype"}),
    ("other number type", {"dtype": "float16"}, GOOD, VECTORS,
     {"field": "chunk", "value": "float16", "limit": "float32"}),
    ("site past the last", {"sites": [0, 4]}, GOOD[:2], NO_SITE,
     {"field": "metadata.sites[1]", "limit": "3"}),
    ("site twice", {"sites": [1, 1]}, GOOD[:2], BAD, {"field": "metadata.sites[1]"}),
    ("reference at no site", {"references": [{"site": 4, "deviation": 1}]}, GOOD, NO_SITE,
     {"field": "metadata.references[0]"}),
    ("reference elsewhere", {"sites": [0], "references": [{"site": 1, "deviation": 1}]}, GOOD[:1],
     BAD, {"field": "metadata.references[0].site"}),
    ("reference twice", {"references": [{"site": 1, "deviation": 1}] * 2}, GOOD, BAD,
     {"field": "metadata.references[1]"}),
    ("references past all sites", {"references": [{"site": 9}] * 5}, GOOD, BAD,
     {"field": "metadata.references", "value": "5", "limit": "4"}),
    ("no deviation", {"references": [{"site": 1, "mean": 1}]}, GOOD, BAD,
     {"field": "metadata.references[0].deviation"}),
    ("no finite deviation", {"references": [{"site": 1, "deviation": NAN}]}, GOOD, BAD,
     {"field": "metadata.references[0].deviation"}),
    ("no finite mean", {"references": [{"site": 1, "deviation": 1, "mean": INF}]}, GOOD, BAD,
     {"field": "metadata.references[0].mean"}),
    ("no file", {}, b"", VECTORS, {"field": "chunk"}),
    ("no safetensors", {}, b"PK\x03\x04" * 50, VECTORS, {"field": "chunk"}),
    ("a cut file", {}, WHOLE[:-1], VECTORS, {"field": "chunk"}),
    ("a longer file", {}, WHOLE + b"x", VECTORS, {"field": "chunk"}),
    ("an endless header", {}, struct.pack("<Q", 2**63) + b"{", VECTORS, {"field": "chunk"}),
    ("a deep header", {}, file(b'{"a":' * 5000), VECTORS, {"field": "chunk"}),
    ("no tensor", {}, file({}), VECTORS, {"field": "chunk", "value": "0", "limit": "1"}),
    ("two tensors", {}, save({"a": GOOD[:1], "b": GOOD[:1]}), VECTORS, {"value": "2"}),
    ("a large file", {}, save({"a": np.zeros(99_999, np.float32)}), VECTORS,
     {"field": "chunk", "limit": str(SHAPE.max_bytes)}),
    ("doubles", {}, GOOD.astype(np.float64), VECTORS, {"value": "F64"}),
    ("integers", {}, GOOD.astype(np.int16), VECTORS, {"value": "I16"}),
    ("one site too few", {}, GOOD[:3], VECTORS, {"value": "[3, 8]", "limit": "[4, 8]"}),
    ("one column too many", {}, np.ones((4, 9), np.float32), VECTORS, {"value": "[4, 9]"}),
    ("flat", {}, GOOD.reshape(-1), VECTORS, {"value": "[32]"}),
    ("more sites than rows", {"sites": [0, 1, 2]}, GOOD[:2], VECTORS, {"limit": "[3, 8]"}),
    ("NaN", {}, but(2, NAN), VECTORS, {"field": "chunk", "site": "2"}),
    ("infinity", {"sites": [3, 1]}, but(1, -INF)[:2], VECTORS, {"site": "1"}),
    ("zero", {}, tiny(1, 0), VECTORS, {"field": "chunk", "site": "1"}),
    ("zero in float16", {}, tiny(3, 1e-12), VECTORS, {"site": "3"}),
    ("no digits in float16", {}, tiny(0, 1e-6), VECTORS, {"site": "0"}),
    ("past float16", {}, but(2, 65600), VECTORS, {"site": "2", "value": "65600.0"}),
]
# fmt: on


@pytest.mark.parametrize(
    ("metadata", "data", "refusal", "facts"),
    [case[1:] for case in BAD_UPLOADS],
    ids=[case[0] for case in BAD_UPLOADS],
)
def test_bad_uploads_are_refused_and_leave_nothing(
    metadata: Any, data: Any, refusal: Refusal, facts: dict[str, str], service: SmallService
) -> None:
    name = {} if "name" in metadata or (metadata == {} and data is GOOD) else {"name": "mine"}
    check(refused(lambda: upload(service.channel, data, **name, **metadata)), refusal, facts)
    assert list(concepts(service.channel)) == sorted(service.pack.names)
    assert service.bank.rows.used == len(service.pack.names)


META, CHUNK = pb.ConceptMetadata(name="mine"), pb.UploadConceptRequest(chunk=WHOLE)
FIRST = pb.UploadConceptRequest(metadata=META)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "metadata"),
        ([CHUNK], "metadata"),
        ([pb.UploadConceptRequest()], "metadata"),
        ([FIRST, FIRST, CHUNK], "chunk"),
        ([FIRST, pb.UploadConceptRequest(), CHUNK], "chunk"),
    ],
)
def test_messages_out_of_order(messages: list[Any], field: str, service: SmallService) -> None:
    call = pb_grpc.ConceptServiceStub(service.channel).UploadConcept
    check(refused(lambda: call(iter(messages), timeout=30)), BAD, {"field": field})


def test_damaged_messages_and_unknown_fields_are_refused(service: SmallService) -> None:
    call = service.channel.stream_unary("/vagus.v1.ConceptService/UploadConcept")
    check(refused(lambda: call(iter([b"\xff"]), timeout=30)), BAD, {"field": ""})
    later = [FIRST.SerializeToString(), CHUNK.SerializeToString() + b"\x7a\x01x"]
    refusal = refused(lambda: call(iter(later), timeout=30))
    assert refusal.info.reason == "NOT_IMPLEMENTED"


def test_an_upload_that_breaks_off_leaves_nothing(service: SmallService) -> None:
    started, stop = threading.Event(), threading.Event()

    def messages() -> Iterator[Any]:
        yield FIRST
        yield pb.UploadConceptRequest(chunk=WHOLE[:100])
        started.set()
        stop.wait(30)

    call = pb_grpc.ConceptServiceStub(service.channel).UploadConcept.future(messages())
    assert started.wait(30)
    call.cancel()
    stop.set()
    assert "mine" not in concepts(service.channel)
    assert service.bank.rows.used == len(service.pack.names)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_good_uploads(dtype: str, size: int, service: SmallService) -> None:
    halves = GOOD.astype(np.float16)
    if dtype == "bfloat16":
        # Truncated, as the upper half of a float32; then exact in float16.
        bits = (GOOD.view(np.uint32) >> 16).astype("<u2")
        halves = (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float16)
        data = tensor("BF16", [2, HIDDEN], bits[:2].tobytes())
    else:
        data = save({"any name": GOOD[:2].astype(dtype)})
    metadata = {
        "name": "très calme_2.0-x",
        "description": "🙂",
        "sites": [3, 1],
        "dtype": dtype,
        "pack": "small",
        "model_fingerprint": "0" * 32,
        "references": [{"site": 1, "mean": -0.5, "deviation": 2}],
    }
    call = pb_grpc.ConceptServiceStub(service.channel).UploadConcept
    answer = call(parts(data, size=size, **metadata), timeout=60)
    canonical = np.zeros((SITES, HIDDEN), dtype="<f2")
    canonical[[3, 1]] = halves[:2]
    assert answer.digest == hashlib.sha256(canonical.tobytes()).hexdigest()
    assert (list(answer.sites), list(answer.z_score_sites)) == ([1, 3], [1])

    request = pb.GetConceptRequest(name=metadata["name"], include_vectors=True)
    told = pb_grpc.ConceptServiceStub(service.channel).GetConcept(request, timeout=30).concept
    assert (told.digest, told.origin, told.pack) == (answer.digest, pb.CONCEPT_ORIGIN_UPLOADED, "")
    assert told.HasField("created")
    assert [s.site for s in told.sites] == [1, 3]
    assert [list(s.vector) for s in told.sites] == canonical[[1, 3]].tolist()
    assert told.sites[0].norm == pytest.approx(np.linalg.norm(canonical[1].astype(float)))
    assert [(s.reference_mean, s.reference_deviation) for s in told.sites] == [(-0.5, 2), (0, 0)]
    delete(service.channel, metadata["name"])
    assert list(concepts(service.channel)) == sorted(service.pack.names)


def test_names_are_per_tenant_and_replaced_only_on_request(service: SmallService) -> None:
    first = upload(service.channel, GOOD, name="mine")
    assert upload(service.channel, GOOD, name="mine") == first, "the same again is no conflict"
    refusal = refused(lambda: upload(service.channel, -GOOD, name="mine"))
    check(refusal, TAKEN, {"concept": "mine"})
    assert concepts(service.channel)["mine"].digest == first.digest
    theirs = upload(service.channel, -GOOD, "other", name="mine")
    mine = upload(service.channel, 2 * GOOD, name="mine", replace=True)
    assert concepts(service.channel)["mine"].digest == mine.digest != first.digest
    assert concepts(service.channel, "other")["mine"].digest == theirs.digest
    assert service.sample("vagus_concepts_registered") == 2
    assert service.sample("vagus_vector_rows_used") == len(service.pack.names) + 2
    delete(service.channel, "mine")
    check(
        refused(lambda: delete(service.channel, "mine")),
        NO_CONCEPT,
        {"field": "name", "concept": "mine", "nearest": ""},
    )
    assert "mine" in concepts(service.channel, "other")
    delete(service.channel, "mine", "other")
    assert service.sample("vagus_vector_rows_used") == len(service.pack.names)


def test_the_packs_concepts_cannot_be_deleted(service: SmallService) -> None:
    check(refused(lambda: delete(service.channel, "calm")), BAD, {"field": "name"})
    check(refused(lambda: delete(service.channel, "")), BAD, {"field": "name"})
    check(refused(lambda: delete(service.channel, "clam")), NO_CONCEPT, {"field": "name"})


def test_pages_hold_while_concepts_come_and_go(service: SmallService) -> None:
    upload(service.channel, GOOD, name="dear")
    stub = pb_grpc.ConceptServiceStub(service.channel)
    page = stub.ListConcepts(pb.ListConceptsRequest(page_size=2), timeout=30)
    assert [c.name for c in page.concepts] == ["calm", "dear"]
    delete(service.channel, "dear")
    rest = stub.ListConcepts(pb.ListConceptsRequest(page_token=page.next_page_token), timeout=30)
    assert [c.name for c in rest.concepts] == ["desperate", "happy", "sad"]


def test_a_full_bank_refuses_what_is_new_and_counts_it() -> None:
    with SmallService(rows=6) as service:  # four concepts of the pack, and one more
        upload(service.channel, GOOD, name="mine")
        upload(service.channel, GOOD, name="again")
        refusal = refused(lambda: upload(service.channel, -GOOD, name="more"))
        check(refusal, FULL, {"capacity": "5", "in_use": "5"})
        assert "more" not in concepts(service.channel)
        delete(service.channel, "mine")
        assert refused(lambda: upload(service.channel, -GOOD, name="more")).code is FULL.code
        delete(service.channel, "again")
        upload(service.channel, -GOOD, name="more")
        counts = {"OK": 3, "RESOURCE_EXHAUSTED": 2}
        for code, count in counts.items():
            labels = {"method": "UploadConcept", "code": code}
            assert service.sample("vagus_requests_total", **labels) == count


def test_names_of_one_content_are_bounded_too() -> None:
    with SmallService(rows=6) as service:
        for i in range(5):
            upload(service.channel, GOOD, f"tenant-{i}", name="mine")
        refusal = refused(lambda: upload(service.channel, GOOD, "tenant-5", name="mine"))
        check(refusal, Refusal(FULL.code, "TOO_MANY_CONCEPTS"), {"limit": "5"})
        upload(service.channel, GOOD, "tenant-0", name="mine", description="x", replace=True)
        assert not service.registry.own("tenant-5")


def test_a_disk_that_fails_leaves_the_old_concept(tmp_path: Path) -> None:
    store = Store(tmp_path, "0" * 32)
    with SmallService(store) as service:
        old = upload(service.channel, GOOD, name="mine").digest
        store._db.execute("PRAGMA query_only = ON")
        for change in (
            lambda: upload(service.channel, -GOOD, name="mine", replace=True),
            lambda: upload(service.channel, 3 * GOOD, name="new"),
            lambda: delete(service.channel, "mine"),
        ):
            assert refused(change).info.reason == "INTERNAL"
        assert {n: c.digest for n, c in concepts(service.channel).items()}["mine"] == old
        assert "new" not in concepts(service.channel)
        assert service.bank.rows.used == len(service.pack.names) + 1
        store._db.execute("PRAGMA query_only = OFF")
    (stored,) = store.load(SHAPE)
    assert stored.concept.vectors.digest == old
    store.close()


BAD_INLINE = [
    (InlineVectors(), "v"),
    (InlineVectors(safetensors=WHOLE, vectors=[{"site": 0}]), "v"),
    (InlineVectors(vectors=[{"site": 0, "values": [1.0] * 7}]), "v.vectors[0].values"),
    (InlineVectors(vectors=[{"site": 4, "values": [1.0] * 8}]), "v.vectors[0]"),
    (InlineVectors(vectors=[{"site": 1, "values": [1.0] * 8}] * 2), "v.vectors[1]"),
    (InlineVectors(vectors=[{"site": 1, "values": [0.0] * 8}]), "v.vectors"),
    (InlineVectors(vectors=[{"site": 9}] * 5), "v.vectors"),
    (InlineVectors(vectors=[{"site": 1, "values": [1.0] * 8}], sites=[1]), "v.sites"),
    (InlineVectors(safetensors=WHOLE, sites=[9]), "v.sites[0]"),
    (InlineVectors(safetensors=WHOLE[:-1]), "v.safetensors"),
    (InlineVectors(safetensors=bytes(SHAPE.max_bytes + 1)), "v.safetensors"),
]


@pytest.mark.parametrize(("message", "field"), BAD_INLINE, ids=range(len(BAD_INLINE)))
def test_bad_inline_vectors_are_refused(message: InlineVectors, field: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_inline(message, SHAPE, "v")
    assert caught.value.metadata["field"] == field


def test_both_forms_of_inline_vectors_say_the_same() -> None:
    listed = [{"site": site, "values": GOOD[site].tolist()} for site in (2, 0)]
    one = parse_inline(InlineVectors(vectors=listed), SHAPE, "v")
    data = save({"x": GOOD[[0, 2]]})
    other = parse_inline(InlineVectors(safetensors=data, sites=[0, 2]), SHAPE, "v")
    assert one == other
    assert one.sites == (0, 2)


@examples
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255), st.integers(0, len(WHOLE)))
def test_a_damaged_file_is_refused_or_has_good_vectors(at: int, byte: int, end: int) -> None:
    data = bytearray(WHOLE[:end] if end % 2 else WHOLE)
    if at < len(data):
        data[at] = byte
    vectors = None
    with suppress(ApiError):
        vectors = parse_file(bytes(data), (), SHAPE, "chunk", "sites")
    assert vectors is None or np.isfinite(vectors.array).all()
    assert vectors is None or min(vectors.norms) > 0


def test_the_answer_is_not_given_before_the_change_is_on_disk(tmp_path: Path) -> None:
    """A copy of the files at the time of the answer has it."""
    store = Store(tmp_path / "live", "0" * 32)
    with SmallService(store) as service:
        digest = upload(service.channel, GOOD, name="mine").digest
        copy = tmp_path / "copy"
        copy.mkdir()
        for path in (tmp_path / "live").iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
        opened = Store(copy, "0" * 32)
        (stored,) = opened.load(SHAPE)
        assert (stored.tenant, stored.concept.vectors.digest) == ("", digest)
        opened.close()
    store.close()


def test_grpc_itself_may_cut_an_upload_short(service: SmallService) -> None:
    call = pb_grpc.ConceptServiceStub(service.channel).UploadConcept
    over = threading.Event()

    def stuck() -> Iterator[pb.UploadConceptRequest]:
        first, *_ = parts(WHOLE, name="mine")
        yield first
        over.wait(30)

    with pytest.raises(grpc.RpcError) as caught:
        call(stuck(), timeout=0.3)
    over.set()
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED
    assert "mine" not in concepts(service.channel)
