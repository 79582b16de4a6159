"""What a refused call brings back, and what the catalogue of reasons says of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

_PROTO = Path(__file__).parents[2] / "proto/vagus/v1/error_reason.proto"
#: Paths, exceptions, tracebacks and addresses of objects.
_LEAK = re.compile(r"/\w+/|\\|\.py\b|[a-z](Error|Exception)\b|Traceback|0x[0-9a-f]{4}|<class|vllm")


class Refusal(NamedTuple):
    """How a request is refused."""

    code: StatusCode
    reason: str


BAD = Refusal(StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
EMPTY = Refusal(StatusCode.INVALID_ARGUMENT, "PROMPT_EMPTY")
TOO_LONG = Refusal(StatusCode.INVALID_ARGUMENT, "PROMPT_TOO_LONG")
TOKEN_ID = Refusal(StatusCode.INVALID_ARGUMENT, "TOKEN_ID_OUT_OF_RANGE")
NO_MODEL = Refusal(StatusCode.NOT_FOUND, "MODEL_NOT_FOUND")
NO_PACK = Refusal(StatusCode.NOT_FOUND, "PACK_NOT_FOUND")
NO_CONCEPT = Refusal(StatusCode.NOT_FOUND, "CONCEPT_NOT_FOUND")
NO_SITE = Refusal(StatusCode.INVALID_ARGUMENT, "SITE_OUT_OF_RANGE")
TOO_MANY = Refusal(StatusCode.INVALID_ARGUMENT, "TOO_MANY_OPERATIONS")
DOSE = Refusal(StatusCode.INVALID_ARGUMENT, "DOSE_OVER_LIMIT")
NOT_YET = Refusal(StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED")
IN_USE = Refusal(StatusCode.ALREADY_EXISTS, "REQUEST_ID_IN_USE")
FULL = Refusal(StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL")


@dataclass(frozen=True)
class Refused:
    """A call's status: `info` is its ErrorInfo, `status` the whole of google.rpc.Status."""

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status
    info: error_details_pb2.ErrorInfo
    request_id: str


def refused(call: Callable[[], Any]) -> Refused:
    """Makes a call that must be refused by the server itself."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    trailing = dict(error.trailing_metadata())
    assert "grpc-status-details-bin" in trailing, f"{error.code()}: {error.details()}"
    status = status_pb2.Status.FromString(trailing["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return Refused(
        error.code(), error.details(), status, info, trailing.get("vagus-request-id", "")
    )


def catalogue() -> dict[str, tuple[str, set[str]]]:
    """Code and metadata keys of every reason, as error_reason.proto states them."""
    entries = re.findall(r"((?: *//.*\n)+) *ERROR_REASON_(\w+) = [1-9]", _PROTO.read_text())
    result = {}
    for comment, reason in entries:
        text = " ".join(line.strip(" /") for line in comment.splitlines())
        code = re.match(r"[A-Z_]+", text)
        keys = re.search(r"\{([^}]*)\}$", text)
        assert code is not None, reason
        assert keys is not None, reason
        result[reason] = (code[0], set(re.findall(r'"(\w+)"', keys[1])))
    return result


CATALOGUE = catalogue()


def check_form(refusal: Refused) -> None:
    """The refusal is one that the catalogue knows, complete, and says nothing of our insides."""
    code, keys = CATALOGUE[refusal.info.reason]
    assert refusal.code.name == code
    assert refusal.info.domain == "vagus.v1"
    assert set(refusal.info.metadata) <= keys
    assert (refusal.status.code, refusal.status.message) == (
        refusal.code.value[0],
        refusal.message,
    )
    assert refusal.message
    for text in (refusal.message, *refusal.info.metadata.values()):
        assert len(text) <= 500
        assert not _LEAK.search(text), text
    assert re.fullmatch(r"[\x21-\x7e]{1,128}", refusal.request_id)


def check(refusal: Refused, expected: Refusal, metadata: dict[str, str]) -> None:
    """The refusal has the expected code, reason and (among others) metadata, and a good form."""
    check_form(refusal)
    assert (refusal.code, refusal.info.reason) == expected, refusal.message
    found = {key: refusal.info.metadata.get(key) for key in metadata}
    assert found == metadata
