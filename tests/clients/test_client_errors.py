"""Errors: one class per gRPC code, with the details that the server sent."""

import pickle

import pytest
from client_drivers import Driver, asynchronous
from google.rpc.error_details_pb2 import ErrorInfo
from grpc import StatusCode
from scripted_server import Failed, fail, serve

import vagus
from vagus._status import error_from_status

FAILURES = [code for code in StatusCode if code is not StatusCode.OK]


@pytest.mark.parametrize("code", FAILURES, ids=lambda code: code.name)
def test_every_code_has_its_class(code: StatusCode) -> None:
    error = error_from_status(Failed(code))
    name = "".join(part.title() for part in code.name.split("_"))
    assert type(error) is getattr(vagus, name)
    assert error.code is code


@asynchronous
async def test_an_error_carries_reason_metadata_and_request_id(driver: Driver) -> None:
    info = ErrorInfo(
        reason="CONCEPT_NOT_FOUND",
        domain="vagus.v1",
        metadata={"concept": "clam", "nearest": "calm"},
    )
    failure = fail(StatusCode.NOT_FOUND, info=info)
    async with serve(failure, failure) as server:
        for attempt in (
            driver.call(server.target, "generate", "Hi"),
            driver.collect(server.target),
        ):
            with pytest.raises(vagus.NotFound) as caught:
                await attempt
            error = caught.value
            assert error.reason == "CONCEPT_NOT_FOUND"
            assert error.metadata == {"concept": "clam", "nearest": "calm"}
            assert error.request_id == "r-failed"
            assert str(error) == "it is NOT_FOUND [CONCEPT_NOT_FOUND, request r-failed]"


@asynchronous
async def test_the_servers_receipt_mismatch_is_the_clients(driver: Driver) -> None:
    info = ErrorInfo(reason="RECEIPT_MISMATCH", metadata={"site": "15"})
    async with serve(fail(StatusCode.INTERNAL, info=info)) as server:
        with pytest.raises(vagus.ReceiptMismatch):
            await driver.call(server.target, "generate", "Hi")


def test_mangled_details_still_give_the_code() -> None:
    error = error_from_status(Failed(StatusCode.NOT_FOUND, ("grpc-status-details-bin", b"\xff")))
    assert (type(error), error.reason, error.message) == (vagus.NotFound, "", "why")


def test_errors_survive_pickling() -> None:
    error = vagus.NotFound("no", reason="R", metadata={"a": "b"}, request_id="1", retry_delay=2.0)
    copied = pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    assert vars(copied) == vars(error)
