"""From a gRPC failure to one of this package's errors."""

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from vagus import _errors
from vagus._constants import RECEIPT_MISMATCH, REQUEST_ID_KEY, STATUS_DETAILS_KEY

Metadata: TypeAlias = Iterable[tuple[str, str | bytes]]

_CLASSES: dict[grpc.StatusCode, type[_errors.VagusError]] = {
    cls.code: cls for cls in _errors.VagusError.__subclasses__()
}
_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class RpcStatus(Protocol):
    """What grpc's and grpc.aio's errors have in common."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def initial_metadata(self) -> Metadata | None: ...
    def trailing_metadata(self) -> Metadata | None: ...


def metadata_text(metadata: Metadata | None, key: str) -> str:
    """Value of a text key of call metadata, or ""."""
    found = next((value for name, value in metadata or () if name == key), "")
    return found.decode(errors="replace") if isinstance(found, bytes) else found


def error_from_status(status: RpcStatus) -> _errors.VagusError:
    """The error that a failed call is reported as."""
    trailing = tuple(status.trailing_metadata() or ())
    info, retry = ErrorInfo(), RetryInfo()
    for detail in _status_details(trailing).details:
        # Unpack changes its target only where the type matches.
        detail.Unpack(info)
        detail.Unpack(retry)
    mismatch = info.reason == RECEIPT_MISMATCH
    cls = _errors.ReceiptMismatch if mismatch else _CLASSES.get(status.code(), _errors.Unknown)
    return cls(
        status.details() or status.code().name,
        reason=info.reason,
        metadata=info.metadata,
        request_id=metadata_text(trailing, REQUEST_ID_KEY),
        retry_delay=(
            retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
            if retry.HasField("retry_delay")
            else None
        ),
    )


def error_from_code(
    code: int, message: str, *, reason: str, metadata: Mapping[str, str]
) -> _errors.VagusError:
    """The error that a refusal inside of a stream is reported as; `code` is gRPC's number."""
    status = _CODES.get(code, grpc.StatusCode.UNKNOWN)
    cls = _CLASSES.get(status, _errors.Unknown)
    return cls(message, reason=reason, metadata=metadata)


def _status_details(trailing: Metadata) -> Status:
    raw = next((value for key, value in trailing if key == STATUS_DETAILS_KEY), b"")
    try:
        return Status.FromString(raw if isinstance(raw, bytes) else raw.encode())
    except DecodeError:
        # A proxy may mangle the details; the status code still tells what failed.
        return Status()
