"""Uploads that do not end take neither memory nor places for long."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from support.refusals import check_form, refused
from support.small_pack import HIDDEN, SITES
from support.small_service import SmallService
from support.uploads import concepts, of, upload
from support.waiting import wait_for
from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus_server.services import upload as upload_module

ROWS = np.random.default_rng(1).normal(size=(SITES, HIDDEN)).astype(np.float32)


def begun(sent: threading.Event, go_on: threading.Event) -> Iterator[pb.UploadConceptRequest]:
    """The first message of an upload, and no second one."""
    yield pb.UploadConceptRequest(metadata=pb.ConceptMetadata(name="slow"))
    sent.set()
    go_on.wait(60)


def test_an_upload_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "_SECONDS", 0.1)
    go_on = threading.Event()
    with SmallService() as service:
        stub = pb_grpc.ConceptServiceStub(service.channel)
        slow = begun(threading.Event(), go_on)
        refusal = refused(lambda: stub.UploadConcept(slow, timeout=60))
        go_on.set()
        check_form(refusal)
        assert refusal.info.reason == "DEADLINE_PASSED"
        assert "slow" not in concepts(service.channel)


def test_only_so_many_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "_MAX_UPLOADS", 1)
    sent, go_on = threading.Event(), threading.Event()
    with SmallService() as service:
        stub = pb_grpc.ConceptServiceStub(service.channel)
        running = stub.UploadConcept.future(begun(sent, go_on), timeout=60)
        assert sent.wait(30)
        wait_for(lambda: service.concept_service._uploads._running.total() == 1, "the first upload")
        refusal = refused(lambda: stub.UploadConcept(begun(sent, go_on), timeout=60))
        check_form(refusal)
        assert refusal.info.reason == "QUEUE_FULL"
        go_on.set()
        assert running.exception(60) is not None, "no vectors came"


def test_a_tenant_has_some_of_the_places_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_module, "_MAX_OF_TENANT", 2)
    go_on = threading.Event()
    with SmallService() as service:
        stub = pb_grpc.ConceptServiceStub(service.channel)
        running = service.concept_service._uploads._running
        slow = [
            stub.UploadConcept.future(
                begun(threading.Event(), go_on), timeout=60, metadata=of("slow")
            )
            for _ in range(2)
        ]
        wait_for(lambda: running["slow"] == 2, "both uploads")
        third = begun(threading.Event(), go_on)
        refusal = refused(lambda: stub.UploadConcept(third, timeout=60, metadata=of("slow")))
        check_form(refusal)
        assert (refusal.info.reason, refusal.info.metadata["limit"]) == ("QUEUE_FULL", "2")
        for tenant in ("other", ""):
            upload(service.channel, ROWS, tenant, name=f"of {tenant or 'nobody'}")
        go_on.set()
        for one in slow:
            assert one.exception(60) is not None, "no vectors came"
        wait_for(lambda: not running, "the places to be given back")
