"""What a failure is told as."""

import logging

import grpc

from vagus_server.engine.failures import (
    ChangeTooLate,
    EngineUnavailable,
    GivenUp,
    ProgramsFull,
    ReceiptMismatch,
)
from vagus_server.engine.rows import BankFull
from vagus_server.errors import ApiError
from vagus_server.services.context import Call

logger = logging.getLogger("vagus.server")


def as_api_error(error: Exception, call: Call) -> ApiError:
    """The status for whatever a handler raised; only what was foreseen is told."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineUnavailable):
        return ApiError(
            grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE", "the engine is not running"
        )
    if isinstance(error, GivenUp):
        return _given_up(error, call)
    if isinstance(error, ChangeTooLate):
        return ApiError(
            grpc.StatusCode.FAILED_PRECONDITION,
            "CHANGE_TOO_LATE",
            "the request ended before the change could hold",
        )
    if isinstance(error, ProgramsFull):
        return ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "PROGRAMS_FULL",
            "the device has no room for one more program of a running request",
        )
    if isinstance(error, BankFull):
        return ApiError(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "VECTOR_BANK_FULL",
            f"all {error.capacity} rows of the vector bank hold concepts that are registered or "
            "in use",
            capacity=error.capacity,
            in_use=error.capacity,
        )
    if isinstance(error, ReceiptMismatch):
        logger.error("request %s: the receipt does not balance: %s", call.request_id, error)
        found = error.mismatch
        return ApiError(
            grpc.StatusCode.INTERNAL,
            "RECEIPT_MISMATCH",
            "the device's count of steered tokens differs from the program; do not trust the "
            "output",
            operation=found.operation,
            site=found.site,
            expected=found.expected,
            counted=found.counted,
        )
    # The text of an unforeseen exception may hold paths, prompts or secrets: log, not send.
    logger.error("request %s failed", call.request_id, exc_info=error)
    return ApiError(
        grpc.StatusCode.INTERNAL, "INTERNAL", "an internal error occurred; see the server's log"
    )


def _given_up(error: GivenUp, call: Call) -> ApiError:
    """Neither is UNAVAILABLE: whatever the engine cannot run, it cannot run the next time."""
    logger.warning("request %s was given up: %s", call.request_id, error)
    if call.structure:
        return ApiError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_INVALID",
            f"{call.structure} could not be compiled by the engine, in the time that it takes",
            field=call.structure,
        )
    return ApiError(grpc.StatusCode.INTERNAL, "INTERNAL", "the engine could not run the request")
