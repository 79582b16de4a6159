"""The errors that calls raise: one class per gRPC status code."""

from collections.abc import Mapping
from typing import ClassVar

from grpc import StatusCode


class VagusError(Exception):
    """Root of all errors of this package.

    Attributes:
        message: What went wrong, for people.
        reason: What went wrong, for programs: a value of `vagus.v1.ErrorReason` without its
            prefix, or "" when the server gave none.
        metadata: What the reason is about, for example {"field": "prompt"}.
        request_id: The id under which the server logged the request, or "".
        retry_delay: Seconds after which the server invites a retry, or None.
        code: The gRPC status code.
    """

    code: ClassVar[StatusCode] = StatusCode.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
        retry_delay: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.request_id = request_id
        self.retry_delay = retry_delay

    def __str__(self) -> str:
        request = f"request {self.request_id}" if self.request_id else ""
        facts = ", ".join(fact for fact in (self.reason or self.code.name, request) if fact)
        return f"{self.message} [{facts}]"


class Cancelled(VagusError):
    """The call was cancelled."""

    code = StatusCode.CANCELLED


class Unknown(VagusError):
    """The server failed without saying how."""

    code = StatusCode.UNKNOWN


class InvalidArgument(VagusError):
    """The request is wrong; `metadata["field"]` says where."""

    code = StatusCode.INVALID_ARGUMENT


class DeadlineExceeded(VagusError):
    """The timeout passed."""

    code = StatusCode.DEADLINE_EXCEEDED


class NotFound(VagusError):
    """No such concept, pack or model is served."""

    code = StatusCode.NOT_FOUND


class AlreadyExists(VagusError):
    """A running request has this id."""

    code = StatusCode.ALREADY_EXISTS


class PermissionDenied(VagusError):
    """The caller may not do this."""

    code = StatusCode.PERMISSION_DENIED


class ResourceExhausted(VagusError):
    """Too many requests are waiting, or a message is too large."""

    code = StatusCode.RESOURCE_EXHAUSTED


class FailedPrecondition(VagusError):
    """The server is not in a state to do this."""

    code = StatusCode.FAILED_PRECONDITION


class Aborted(VagusError):
    """The request lost against a concurrent one."""

    code = StatusCode.ABORTED


class OutOfRange(VagusError):
    """The request goes past a valid range."""

    code = StatusCode.OUT_OF_RANGE


class Unimplemented(VagusError):
    """The server does not do this part of the API yet."""

    code = StatusCode.UNIMPLEMENTED


class Internal(VagusError):
    """The server has a defect; its log has the details under `request_id`."""

    code = StatusCode.INTERNAL


class Unavailable(VagusError):
    """The server cannot be reached, or is shutting down."""

    code = StatusCode.UNAVAILABLE


class DataLoss(VagusError):
    """The answer is incomplete or contradicts itself."""

    code = StatusCode.DATA_LOSS


class Unauthenticated(VagusError):
    """The API key is missing or wrong."""

    code = StatusCode.UNAUTHENTICATED


class ReceiptMismatch(Internal):
    """The device did something else than what was asked; do not trust the output.

    Raised for the server's own check as well as by `verify_receipt`.
    """
