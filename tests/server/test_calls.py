"""A server that stops: new calls are refused, running ones end or are handed back, all with a
status that says so."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from prometheus_client import CollectorRegistry

from support.refusals import Refused, check_form, refused
from support.small_pack import small_pack
from vagus.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.calls import Calls
from vagus_server.services.interceptor import CallInterceptor

UNARY, STREAM = "/vagus.v1.ModelService/GetModel", "/vagus.v1.GenerationService/StreamGenerate"


class Handlers(grpc.GenericRpcHandler):
    """Calls that run until `go` is set; `running` and `left` count them."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.running = threading.Semaphore(0)
        self.left = 0

    async def _wait(self) -> None:
        self.running.release()
        try:
            await self.go.wait()
        finally:
            self.left += 1

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def unary(request: Any, context: Any) -> GetModelResponse:
            await self._wait()
            return GetModelResponse()

        async def stream(request: Any, context: Any) -> AsyncIterator[GetModelResponse]:
            yield GetModelResponse()
            await self._wait()
            yield GetModelResponse()

        codec = (GetModelRequest.FromString, GetModelResponse.SerializeToString)
        if details.method == UNARY:
            return grpc.unary_unary_rpc_method_handler(unary, *codec)
        return grpc.unary_stream_rpc_method_handler(stream, *codec)


def get(channel: grpc.Channel) -> bytes:
    return channel.unary_unary(UNARY)(b"", timeout=30)


def stream(channel: grpc.Channel) -> list[bytes]:
    return list(channel.unary_stream(STREAM)(b"", timeout=30))


def scenario(
    stop: Callable[[Calls, Handlers, grpc.Channel], Awaitable[None]],
) -> tuple[list["Future[Any]"], Handlers]:
    """Two calls run; then `stop` is awaited; then the server ends. Returns the calls."""

    async def run() -> tuple[list["Future[Any]"], Handlers]:
        calls, handlers = Calls(), Handlers()
        metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=CollectorRegistry())
        server = grpc.aio.server(interceptors=[CallInterceptor(metrics, calls=calls)])
        server.add_generic_rpc_handlers([handlers])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        with (
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel,
            ThreadPoolExecutor(2) as pool,
        ):
            started = [pool.submit(call, channel) for call in (get, stream)]
            for _ in started:
                assert await asyncio.to_thread(handlers.running.acquire, timeout=30)
            await stop(calls, handlers, channel)
            await server.stop(5)
            await asyncio.to_thread(pool.shutdown)
        return started, handlers

    return asyncio.run(run())


def is_shutting_down(refusal: Refused) -> None:
    check_form(refusal)
    assert refusal.info.reason == "SHUTTING_DOWN"


def test_a_drain_lets_calls_end_and_takes_no_new_ones() -> None:
    async def stop(calls: Calls, handlers: Handlers, channel: grpc.Channel) -> None:
        calls.close()
        for call in (get, stream):
            is_shutting_down(await asyncio.to_thread(refused, lambda: call(channel)))  # noqa: B023
        assert not await calls.wait_empty(0)
        handlers.go.set()
        assert await calls.wait_empty(30)

    (got, streamed), handlers = scenario(stop)
    assert got.result() == b""
    assert streamed.result() == [b"", b""]
    assert handlers.left == 2


def test_calls_that_outlast_the_grace_time_are_handed_back() -> None:
    async def stop(calls: Calls, handlers: Handlers, channel: grpc.Channel) -> None:
        calls.close()
        assert not await calls.wait_empty(0)
        assert calls.hand_back() == 2
        assert await calls.wait_empty(30)
        assert handlers.left == 2, "the work goes on though its call has ended"

    started, _ = scenario(stop)
    for call in started:
        is_shutting_down(refused(call.result))
