"""One wrapper around every handler: request ids, statuses, metrics, logs, traces."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from vagus_server.engine.engine import EngineUnavailable, ReceiptMismatch
from vagus_server.engine.rows import BankFull
from vagus_server.errors import ApiError
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.context import REQUEST_ID_KEY, Call, call_from, current_call
from vagus_server.services.unknown import check_known
from vagus_server.telemetry.logs import log_call
from vagus_server.telemetry.spans import end_call, start_call

logger = logging.getLogger("vagus.server")

_OURS = "/vagus.v1."

#: A caller's own deadline passes first, since the message took time to come, and reaches us as a
#: cancellation: one so shortly before ours, in seconds, was its deadline.
_DEADLINE_SLACK = 0.25


class _Malformed:
    """Stands for a message that could not be parsed, so that our handler answers for it."""


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of vagus.v1; health and reflection pass through."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Returns the wrapped handler."""
        handler = await continuation(handler_call_details)
        method: str = handler_call_details.method
        if handler is None or not method.startswith(_OURS):
            return handler
        parse = _tolerant(handler.request_deserializer)
        if handler.request_streaming and not handler.response_streaming:
            return grpc.stream_unary_rpc_method_handler(
                self._upload(method, handler.stream_unary), parse, handler.response_serializer
            )
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(method, handler.unary_stream), parse, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(method, handler.unary_unary), parse, handler.response_serializer
        )

    def _unary(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(request: Any, context: Any) -> Any:
            async with _Guard(method, context, self._metrics):
                _check_request(request)
                return await behavior(request, context)

        return handle

    def _upload(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(requests: AsyncIterator[Any], context: Any) -> Any:
            async with _Guard(method, context, self._metrics):
                return await behavior(_checked(requests), context)

        return handle

    def _stream(self, method: str, behavior: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(request: Any, context: Any) -> AsyncIterator[Any]:
            async with _Guard(method, context, self._metrics):
                _check_request(request)
                responses = behavior(request, context)
                try:
                    async for response in responses:
                        yield response
                finally:
                    await responses.aclose()

        return handle


def _tolerant(parse: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse_or_mark(data: bytes) -> Any:
        try:
            return parse(data)
        except DecodeError:
            # gRPC itself would answer INTERNAL; a message that is not one is the caller's.
            return _Malformed()

    return parse_or_mark


def _check_request(request: Any) -> None:
    if isinstance(request, _Malformed):
        raise ApiError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "FIELD_INVALID",
            "the message cannot be parsed: it is damaged, or a string is not valid UTF-8",
            field="",
        )
    check_known(request)


async def _checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        _check_request(request)
        yield request


class _Guard:
    """Turns whatever a handler raises into one status, and counts it."""

    def __init__(self, method: str, context: Any, metrics: Metrics) -> None:
        self._path = method
        self._method = method.rsplit("/", 1)[-1]
        self._context = context
        self._metrics = metrics
        self._call = Call(self._method)
        self._start = time.perf_counter()

    async def __aenter__(self) -> None:
        current_call.set(self._call)
        self._span = start_call(self._path, self._context.invocation_metadata())
        try:
            self._call.tenant = call_from(self._method, self._context).tenant
        except ApiError as error:
            await self._fail(error)

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if error is None:
            self._context.set_trailing_metadata(((REQUEST_ID_KEY, self._call.request_id),))
            self._end(grpc.StatusCode.OK)
        elif isinstance(error, grpc.aio.AbortError):
            return
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            remaining = self._context.time_remaining()
            late = remaining is not None and remaining <= _DEADLINE_SLACK
            self._end(grpc.StatusCode.DEADLINE_EXCEEDED if late else grpc.StatusCode.CANCELLED)
        elif isinstance(error, Exception):
            await self._fail(_as_api_error(error, self._call))

    async def _fail(self, error: ApiError) -> None:
        self._end(error.code, error.reason)
        metadata = ((REQUEST_ID_KEY, self._call.request_id), error.trailing_metadata())
        await self._context.abort(error.code, error.message, metadata)

    def _end(self, code: grpc.StatusCode, reason: str = "") -> None:
        seconds = time.perf_counter() - self._start
        self._metrics.request(self._method, code.name, seconds, reason)
        log_call(self._call, code.name, seconds, reason)
        end_call(self._span, self._call, code, reason)


def _as_api_error(error: Exception, call: Call) -> ApiError:
    if isinstance(error, ApiError):
        return error
    if isinstance(error, EngineUnavailable):
        return ApiError(
            grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE", "the engine is not running"
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
