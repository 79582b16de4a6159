"""The one way in which this server says no: a gRPC status with a machine-readable reason."""

import difflib
from collections.abc import Iterable
from typing import NoReturn

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from vagus.v1 import error_reason_pb2

DOMAIN = "vagus.v1"
_DETAILS_KEY = "grpc-status-details-bin"

Reason = error_reason_pb2.ErrorReason


class ApiError(Exception):
    """Becomes a gRPC status with ErrorInfo. The message is written for the caller.

    Args:
        code: the status code that error_reason.proto states for the reason.
        retry_seconds: adds google.rpc.RetryInfo; only for what passes by itself.
        reason: a value of ErrorReason without its prefix, for example "PROMPT_EMPTY".
        message: one sentence; everything dynamic in it is also in the metadata. It travels in
            a header, so what the caller sent goes in through `short`.
        metadata: values as error_reason.proto lists them; they become strings.
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        retry_seconds: int | None = None,
        **metadata: object,
    ) -> None:
        super().__init__(message)
        Reason.Value(f"ERROR_REASON_{reason}")  # a reason outside the catalogue is a defect
        self.code = code
        self.reason = reason
        self.message = message
        self.retry_seconds = retry_seconds
        self.metadata = {key: short(value) for key, value in metadata.items()}

    def trailing_metadata(self) -> tuple[str, bytes]:
        """The rich status as the metadata entry that clients of every language read."""
        info = error_details_pb2.ErrorInfo(
            reason=self.reason, domain=DOMAIN, metadata=self.metadata
        )
        details: list[Message] = [info]
        if self.retry_seconds is not None:
            delay = Duration(seconds=self.retry_seconds)
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        code: int = self.code.value[0]
        status = status_pb2.Status(code=code, message=self.message)
        for detail in details:
            status.details.add().Pack(detail)
        return (_DETAILS_KEY, status.SerializeToString())


def invalid(field: str, problem: str, **metadata: object) -> NoReturn:
    """Raises INVALID_ARGUMENT / FIELD_INVALID: "<field> <problem>"."""
    raise ApiError(
        grpc.StatusCode.INVALID_ARGUMENT,
        "FIELD_INVALID",
        f"{field} {problem}",
        None,
        field=field,
        **metadata,
    )


def check_count(count: int, limit: int, field: str) -> None:
    """Raises INVALID_ARGUMENT / FIELD_INVALID where a list has more than limit entries."""
    if count > limit:
        invalid(field, f"has more than {limit} entries", value=count, limit=limit)


def not_implemented(field: str, feature: str) -> NoReturn:
    """Raises UNIMPLEMENTED / NOT_IMPLEMENTED: known to the API, refused rather than ignored."""
    raise ApiError(
        grpc.StatusCode.UNIMPLEMENTED,
        "NOT_IMPLEMENTED",
        f"{field}: {feature} is not served yet",
        field=field,
        feature=feature,
    )


def nearest(name: str, names: Iterable[str]) -> str:
    """The known name most like the one given, in any case, or an empty string."""
    known = {n.casefold(): n for n in names}
    matches = difflib.get_close_matches(short(name).casefold(), list(known), n=1)
    return known[matches[0]] if matches else ""


def short(value: object) -> str:
    """The value's text, cut to 200 characters: headers are limited to a few kilobytes."""
    text = str(value)
    return text if len(text) <= 200 else text[:199] + "…"
