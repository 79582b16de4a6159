"""A server of two methods that do whatever a test says, behind the interceptor."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import Message
from prometheus_client import CollectorRegistry

from support.small_pack import small_pack
from vagus.v1.model_service_pb2 import GetModelRequest, GetModelResponse
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.interceptor import CallInterceptor

ANSWER = GetModelResponse()


class Handlers(grpc.GenericRpcHandler):
    """One unary and one streaming method; both do what `act` does."""

    def __init__(self, act: Callable[[Any], Awaitable[None]]) -> None:
        self._act = act

    def service(self, details: grpc.HandlerCallDetails) -> Any:
        async def unary(request: Message, context: Any) -> Message:
            await self._act(request)
            return ANSWER

        async def stream(request: Message, context: Any) -> AsyncIterator[Message]:
            yield ANSWER
            await self._act(request)

        codec = (GetModelRequest.FromString, GetModelResponse.SerializeToString)
        if details.method == "/vagus.v1.ModelService/GetModel":
            return grpc.unary_unary_rpc_method_handler(unary, *codec)
        if details.method == "/vagus.v1.GenerationService/StreamGenerate":
            return grpc.unary_stream_rpc_method_handler(stream, *codec)
        return None


class Service:
    """A server whose handlers do what `act` does, and one client of it."""

    def __init__(self, act: Callable[[Any], Awaitable[None]]) -> None:
        self.registry = CollectorRegistry()
        metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=self.registry)
        self._act, self._interceptor = act, CallInterceptor(metrics)

    async def call(self, client: Callable[[grpc.Channel], Any]) -> Any:
        server = grpc.aio.server(interceptors=[self._interceptor])
        server.add_generic_rpc_handlers([Handlers(self._act)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                return await asyncio.to_thread(client, channel)
        finally:
            await server.stop(5)

    def counted(self, method: str) -> dict[str, float]:
        """Calls of a method by code, where there are any."""
        samples = next(m for m in self.registry.collect() if m.name == "vagus_requests").samples
        return {
            s.labels["code"]: s.value for s in samples if s.labels["method"] == method and s.value
        }


def unary(channel: grpc.Channel, data: bytes = b"", **options: Any) -> bytes:
    return channel.unary_unary("/vagus.v1.ModelService/GetModel")(data, timeout=30, **options)


def stream(channel: grpc.Channel, data: bytes = b"", **options: Any) -> list[bytes]:
    path = "/vagus.v1.GenerationService/StreamGenerate"
    return list(channel.unary_stream(path)(data, timeout=30, **options))
