"""Errors: what a client gets, and that the code keeps to the catalogue."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

import vagus_server
from support.refusals import CATALOGUE
from vagus.v1 import error_reason_pb2
from vagus_server.errors import ApiError, invalid, nearest, not_implemented, short
from vagus_server.services.context import call_from, check_deadline, check_request_id

_REASONS = error_reason_pb2.ErrorReason.DESCRIPTOR.values_by_name
SOURCES = Path(vagus_server.__file__).parent


def sent(error: ApiError) -> status_pb2.Status:
    key, value = error.trailing_metadata()
    assert key == "grpc-status-details-bin"
    return status_pb2.Status.FromString(value)


def unpacked(status: status_pb2.Status, *kinds: type[Message]) -> list[Message]:
    details = [kind() for kind in kinds]
    assert len(status.details) == len(details)
    for packed, detail in zip(status.details, details, strict=True):
        assert packed.Unpack(detail)
    return details


def test_an_error_carries_its_reason_and_metadata_as_text() -> None:
    error = ApiError(
        grpc.StatusCode.NOT_FOUND, "CONCEPT_NOT_FOUND", "no such concept", field="a", site=3
    )
    status = sent(error)
    assert (status.code, status.message) == (5, "no such concept")
    (info,) = unpacked(status, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == ("CONCEPT_NOT_FOUND", "vagus.v1")
    assert dict(info.metadata) == {"field": "a", "site": "3"}


def test_an_error_that_passes_by_itself_says_when_to_retry() -> None:
    error = ApiError(
        grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", "full", retry_seconds=2, limit=8
    )
    info, retry = unpacked(sent(error), error_details_pb2.ErrorInfo, error_details_pb2.RetryInfo)
    assert dict(info.metadata) == {"limit": "8"}
    assert retry.retry_delay.seconds == 2


def test_reasons_outside_the_catalogue_are_defects() -> None:
    with pytest.raises(ValueError, match="ERROR_REASON_NO_SUCH_REASON"):
        ApiError(grpc.StatusCode.INTERNAL, "NO_SUCH_REASON", "")


def test_invalid_names_the_field_in_words_and_metadata() -> None:
    with pytest.raises(ApiError) as caught:
        invalid("spec.n", "must be at least 1", value=0)
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
    assert error.message == "spec.n must be at least 1"
    assert error.metadata == {"field": "spec.n", "value": "0"}


def test_not_implemented_names_the_feature() -> None:
    with pytest.raises(ApiError) as caught:
        not_implemented("spec.n", "n above 1")
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
    assert error.metadata == {"field": "spec.n", "feature": "n above 1"}


def test_what_the_caller_sent_comes_back_short() -> None:
    """Headers are limited to a few kilobytes: a longer status would never arrive."""
    assert short("x" * 200) == "x" * 200
    assert short("x" * 1_000_000) == "x" * 199 + "…"
    error = ApiError(grpc.StatusCode.NOT_FOUND, "MODEL_NOT_FOUND", "no", model="🙂" * 10**6)
    assert len(error.trailing_metadata()[1]) < 2000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("desparate", "desperate"),
        ("DESPERATE", "desperate"),
        ("Clam", "Calm"),
        ("xyzzy", ""),
        ("", ""),
        ("d" * 10**6, ""),
    ],
)
def test_nearest(name: str, expected: str) -> None:
    assert nearest(name, ["Calm", "desperate", "sad"]) == expected


def test_the_catalogue_is_the_enum() -> None:
    values = {name.removeprefix("ERROR_REASON_") for name in _REASONS}
    assert set(CATALOGUE) == values - {"UNSPECIFIED"}
    assert {code for code, _ in CATALOGUE.values()} <= {code.name for code in grpc.StatusCode}


#: Keys that a reason has in some places alone.
OPTIONAL = {"DOSE_OVER_LIMIT": {"concept", "site"}, "READER_TOO_SLOW": {"seconds", "tokens"}}


def raised() -> Iterator[tuple[str, str, str, set[str]]]:
    """Place, code, reason and metadata keys of every ApiError that the server's source makes."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if not isinstance(node, ast.Call) or name not in {"ApiError", "invalid"}:
                continue
            keys = {k.arg for k in node.keywords if k.arg} - {"retry_seconds"}
            code, reason = "INVALID_ARGUMENT", "FIELD_INVALID"
            if name == "ApiError":
                code = ast.unparse(node.args[0]).removeprefix("grpc.StatusCode.")
                reason = ast.literal_eval(node.args[1])
            yield f"{path.name}:{node.lineno}", code, reason, keys


def test_every_error_in_the_source_is_as_the_catalogue_says() -> None:
    """Code and metadata keys; and every reason of the catalogue is in use."""
    reasons = set()
    for place, code, reason, keys in raised():
        expected_code, expected_keys = CATALOGUE[reason]
        assert code == expected_code, place
        assert keys <= expected_keys, place
        if reason != "FIELD_INVALID":
            assert keys >= expected_keys - OPTIONAL.get(reason, set()), f"{place} leaves some out"
        reasons.add(reason)
    assert reasons | {"NOT_IMPLEMENTED"} == set(CATALOGUE)


def context(remaining: float | None = None, *metadata: tuple[str, str]) -> SimpleNamespace:
    return SimpleNamespace(time_remaining=lambda: remaining, invocation_metadata=lambda: metadata)


@pytest.mark.parametrize("remaining", [0, -1.5])
def test_a_deadline_that_is_past_is_refused(remaining: float) -> None:
    with pytest.raises(ApiError) as caught:
        check_deadline(context(remaining))
    assert caught.value.reason == "DEADLINE_PASSED"
    assert caught.value.metadata == {"stage": "admission"}


@pytest.mark.parametrize("remaining", [None, 0.001])
def test_other_deadlines_are_not(remaining: float | None) -> None:
    check_deadline(context(remaining))


def test_the_tenant_is_the_calls_own() -> None:
    other = ("user-agent", "grpc")
    assert call_from("Generate", context(None, other)).tenant == ""
    assert call_from("Generate", context(None, other, ("vagus-tenant", "acme"))).tenant == "acme"


@pytest.mark.parametrize("tenants", [("a b",), ("é",), ("x" * 129,), ("a", "a"), ("a", "")])
def test_no_or_one_good_tenant(tenants: tuple[str, ...]) -> None:
    with pytest.raises(ApiError) as caught:
        call_from("Generate", context(None, *(("vagus-tenant", t) for t in tenants)))
    assert caught.value.metadata["field"] == "vagus-tenant"


def test_calls_have_ids_of_their_own() -> None:
    first, second = (call_from("Generate", context()).request_id for _ in range(2))
    assert first != second
    check_request_id(first, "request_id")


@pytest.mark.parametrize("request_id", ["", "a", "~" * 128, "!#/:"])
def test_good_request_ids(request_id: str) -> None:
    check_request_id(request_id, "request_id")


@pytest.mark.parametrize("request_id", [" ", "a b", "a\n", "\x7f", "é", "x" * 129, "\x00"])
def test_bad_request_ids(request_id: str) -> None:
    with pytest.raises(ApiError) as caught:
        check_request_id(request_id, "request_id")
    assert caught.value.metadata["field"] == "request_id"
