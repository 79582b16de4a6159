"""One wrapper around every handler: callers, request ids, statuses, metrics, logs, traces."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from vagus_server.access.access import Access, Caller
from vagus_server.access.audit import Audit
from vagus_server.errors import ApiError
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.calls import Calls
from vagus_server.services.context import REQUEST_ID_KEY, Call, current_call
from vagus_server.services.failure import as_api_error
from vagus_server.services.messages import checked, only, tolerant, unread
from vagus_server.services.pace import Writer
from vagus_server.telemetry.logs import log_call
from vagus_server.telemetry.spans import end_call, start_call

logger = logging.getLogger("vagus.server")

_OURS = "/vagus.v1."

#: A caller's own deadline passes first, since the message took time to come, and reaches us as a
#: cancellation: one so shortly before ours, in seconds, was its deadline.
_DEADLINE_SLACK = 0.25


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps the handlers of vagus.v1; health and reflection pass through.

    Args:
        metrics: counts the calls.
        access: says whose they are; None lets everybody call.
        audit: takes note of what they do; None takes none.
        calls: notes those in flight, and ends them.
        slow_reader_seconds: how long a stream's reader may take nothing.
    """

    def __init__(
        self,
        metrics: Metrics,
        access: Access | None = None,
        audit: Audit | None = None,
        calls: Calls | None = None,
        slow_reader_seconds: float = 60.0,
    ) -> None:
        self._metrics = metrics
        self._access = access or Access()
        self._audit = audit
        self._calls = calls if calls is not None else Calls()
        self._slow_reader_seconds = slow_reader_seconds

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
        caller = self._identify(handler_call_details.invocation_metadata)

        def guard(context: Any) -> _Guard:
            return _Guard(method, context, caller, self._metrics, self._audit)

        async def taken(requests: AsyncIterator[Any]) -> Any:
            return checked(requests) if handler.request_streaming else await only(requests)

        # Of the four, a handler has one.
        unary = handler.unary_unary or handler.unary_stream
        behavior = unary or handler.stream_unary or handler.stream_stream

        async def reply(requests: AsyncIterator[Any], context: Any) -> Any:
            async with guard(context), self._calls.one():
                return await behavior(await taken(requests), context)

        async def stream(requests: AsyncIterator[Any], context: Any) -> None:
            async with guard(context), self._calls.one():
                await self._send(behavior(await taken(requests), context), context)

        # What a stranger sends is not even parsed.
        stranger = isinstance(caller, ApiError)
        parse = unread if stranger else tolerant(handler.request_deserializer)
        # gRPC's own handlers of one message never answer a call that ends without any.
        if handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(stream, parse, handler.response_serializer)
        return grpc.stream_unary_rpc_method_handler(reply, parse, handler.response_serializer)

    def _identify(self, metadata: Any) -> Caller | ApiError:
        try:
            return self._access.identify(metadata or ())
        except ApiError as error:
            return error

    async def _send(self, messages: AsyncGenerator[Any], context: Any) -> None:
        writing = Writer(context, self._slow_reader_seconds)
        async with writing as writer, aclosing(messages) as responses:
            async for response in responses:
                await writer.write(response)


class _Guard:
    """Lets a caller in; turns whatever a handler raises into one status, and counts it."""

    def __init__(
        self,
        method: str,
        context: Any,
        caller: Caller | ApiError,
        metrics: Metrics,
        audit: Audit | None,
    ) -> None:
        self._path = method
        self._caller = caller
        self._method = method.rsplit("/", 1)[-1]
        self._context = context
        self._metrics = metrics
        self._call = Call(self._method, peer=context.peer(), audit=audit)
        self._start = time.perf_counter()

    async def __aenter__(self) -> None:
        current_call.set(self._call)
        self._span = start_call(self._path, self._context.invocation_metadata())
        try:
            self._let_in()
        except ApiError as error:
            await self._fail(error)

    def _let_in(self) -> None:
        caller = self._caller
        if isinstance(caller, ApiError):
            raise caller
        self._call.caller = caller
        # Before the scope: a call that is refused for it counts as well.
        caller.account.call()
        caller.check_call(self._path)
        self._call.open()

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self._call.close()
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
            await self._fail(as_api_error(error, self._call))

    async def _fail(self, error: ApiError) -> None:
        self._end(error.code, error.reason)
        metadata = ((REQUEST_ID_KEY, self._call.request_id), error.trailing_metadata())
        await self._context.abort(error.code, error.message, metadata)

    def _end(self, code: grpc.StatusCode, reason: str = "") -> None:
        seconds = time.perf_counter() - self._start
        self._metrics.request(self._method, code.name, seconds, reason)
        log_call(self._call, code.name, seconds, reason)
        end_call(self._span, self._call, code, reason)
        try:
            if code is grpc.StatusCode.PERMISSION_DENIED:
                self._call.note("refused")
            self._call.note_end(code, reason)
        except OSError as error:
            # What was to be known of the action is known; the answer does not depend on this.
            logger.error("request %s: the audit log: %s", self._call.request_id, error)
