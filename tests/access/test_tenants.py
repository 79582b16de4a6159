"""Nothing of one tenant reaches another: concepts, their names, limits, and what errors say."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from prometheus_client import generate_latest

from support.keyring import KeyFile, adding
from support.refusals import Refused, check_form, refused
from support.small_pack import HIDDEN, NAMES, SITES
from support.small_service import SmallService
from support.uploads import concepts, delete, parts, upload
from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus_server.access.keys import Keys

ROWS = np.random.default_rng(1).normal(size=(SITES, HIDDEN)).astype(np.float32)
NAME = "acmes secret plan"


class Two(NamedTuple):
    """A service with two tenants, and each one's channel to it."""

    service: SmallService
    keyring: KeyFile
    acme: grpc.Channel
    globex: grpc.Channel


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    keyring = KeyFile(tmp_path / "keys.toml")
    with SmallService(keys=Keys(keyring.path)) as service:
        acme, globex = (
            adding(service.channel, keyring.metadata(tenant)) for tenant in ("acme", "globex")
        )
        yield Two(service, keyring, acme, globex)


def get(channel: grpc.Channel, name: str) -> Any:
    stub = pb_grpc.ConceptServiceStub(channel)
    return stub.GetConcept(pb.GetConceptRequest(name=name, include_vectors=True), timeout=30)


def test_another_tenants_concepts_cannot_be_seen_or_touched(two: Two) -> None:
    upload(two.acme, ROWS, name=NAME)
    assert NAME in concepts(two.acme)
    assert set(concepts(two.globex)) == set(NAMES)
    near = NAME.replace("plan", "plam")
    told: list[Refused] = []
    for name in (NAME, near, NAME.upper()):
        told.append(refused(lambda: get(two.globex, name)))  # noqa: B023
        told.append(refused(lambda: delete(two.globex, name)))  # noqa: B023
    for refusal in told:
        check_form(refusal)
        assert refusal.info.reason == "CONCEPT_NOT_FOUND"
        assert refusal.info.metadata["nearest"] not in (NAME, near)
    unasked = refused(lambda: get(two.globex, near))
    assert NAME not in str(unasked.status)
    assert "acme" not in str(refused(lambda: get(two.globex, "plan")).status)
    assert refused(lambda: get(two.acme, near)).info.metadata["nearest"] == NAME


def test_a_name_of_one_tenants_is_free_for_another(two: Two) -> None:
    first = upload(two.acme, ROWS, name=NAME).digest
    second = upload(two.globex, ROWS * 2, name=NAME).digest
    assert first != second
    assert concepts(two.acme)[NAME].digest == first
    delete(two.globex, NAME)
    assert concepts(two.acme)[NAME].digest == first


def test_the_metrics_page_has_no_names_of_tenants_concepts(two: Two) -> None:
    upload(two.acme, ROWS, name=NAME)
    get(two.acme, NAME)
    refused(lambda: get(two.globex, NAME))
    page = generate_latest(two.service.prometheus).decode()
    assert 'vagus_requests_total{code="NOT_FOUND",method="GetConcept"} 1.0' in page
    for text in (NAME, "secret", "acme", "globex", two.keyring.key("acme")):
        assert text not in page


def test_a_revoked_key_ends_at_once_and_the_concepts_stay(two: Two) -> None:
    upload(two.acme, ROWS, name=NAME)
    two.keyring.write({}, without="acme")
    assert refused(lambda: get(two.acme, NAME)).info.reason == "API_KEY_INVALID"
    two.keyring.write({})
    assert get(two.acme, NAME).concept.name == NAME


def retry_seconds(refusal: Refused) -> int | None:
    details = error_details_pb2.RetryInfo()
    found = [d for d in refusal.status.details if d.Unpack(details)]
    return details.retry_delay.seconds if found else None


def test_one_tenants_calls_are_limited_and_the_others_are_not(two: Two) -> None:
    two.keyring.write({"acme": {"requests_per_second": 0.01}})
    get(two.acme, NAMES[0])
    refusal = refused(lambda: get(two.acme, NAMES[0]))
    check_form(refusal)
    assert refusal.info.metadata == {"quota": "requests_per_second", "limit": "0.01"}
    assert 90 < (retry_seconds(refusal) or 0) <= 100
    for _ in range(20):
        get(two.globex, NAMES[0])


def test_calls_without_the_scope_count_too(two: Two) -> None:
    two.keyring.write({"acme": {"requests_per_second": 0.01}})
    reader = adding(two.service.channel, two.keyring.metadata("acme", "read"))
    assert refused(lambda: delete(reader, NAME)).info.reason == "SCOPE_MISSING"
    assert refused(lambda: delete(reader, NAME)).info.reason == "RATE_LIMITED"


def test_one_tenant_cannot_hold_all_places(two: Two) -> None:
    two.keyring.write({"acme": {"concurrency": 1}})
    held, go_on = threading.Event(), threading.Event()

    def slow() -> Iterator[pb.UploadConceptRequest]:
        first, *rest = parts(ROWS.tobytes(), name=NAME)
        yield first
        held.set()
        assert go_on.wait(30)
        yield from rest

    stub = pb_grpc.ConceptServiceStub(two.acme)
    running = stub.UploadConcept.future(slow(), timeout=60)
    assert held.wait(30)
    refusal = refused(lambda: get(two.acme, NAMES[0]))
    check_form(refusal)
    assert (refusal.info.metadata["quota"], retry_seconds(refusal)) == ("concurrency", 1)
    get(two.globex, NAMES[0])
    go_on.set()
    assert running.exception() is not None, "no safetensors file"
    get(two.acme, NAMES[0])


def test_one_tenant_cannot_fill_the_bank(two: Two) -> None:
    two.keyring.write({"acme": {"max_concepts": 1}})
    upload(two.acme, ROWS, name=NAME)
    refusal = refused(lambda: upload(two.acme, ROWS * 2, name="another"))
    check_form(refusal)
    assert (refusal.info.reason, refusal.info.metadata["limit"]) == ("TOO_MANY_CONCEPTS", "1")
    upload(two.acme, ROWS * 2, name=NAME, replace=True)
    upload(two.globex, ROWS, name="one")
    upload(two.globex, ROWS, name="two")
