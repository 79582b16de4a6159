"""A gRPC server on a real socket that answers each call as its script says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2_grpc

from vagus.v1 import (
    concept_service_pb2_grpc,
    generation_service_pb2_grpc,
    model_service_pb2_grpc,
    policy_service_pb2_grpc,
    readout_service_pb2_grpc,
)

Behaviour = Callable[[Any], AsyncIterator[Any]]

HEAR = object()
"""In the place of a message of Converse: waits for the caller's next one, and notes it."""


class ScriptedServer(
    concept_service_pb2_grpc.ConceptServiceServicer,
    generation_service_pb2_grpc.GenerationServiceServicer,
    model_service_pb2_grpc.ModelServiceServicer,
    policy_service_pb2_grpc.PolicyServiceServicer,
    readout_service_pb2_grpc.ReadoutServiceServicer,
    health_pb2_grpc.HealthServicer,
):
    """Takes one behaviour off the script per call, and notes what it was asked."""

    def __init__(self, script: tuple[Behaviour, ...]) -> None:
        self.target = ""
        self.script = list(script)
        self.requests: list[Any] = []
        self.metadata: list[dict[str, str]] = []
        self.cancelled = asyncio.Event()

    async def _stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        try:
            async for message in self.script.pop(0)(context):
                yield message
        except (asyncio.CancelledError, GeneratorExit):
            # The latter when grpc was sending, and not this generator waiting.
            self.cancelled.set()
            raise

    async def _answer(self, request: Any, context: Any) -> Any:
        return await anext(self._stream(request, context))

    async def UploadConcept(self, requests: Any, context: Any) -> Any:  # noqa: N802
        return await self._answer([request async for request in requests], context)

    async def Converse(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        said = aiter(requests)
        async for message in self._stream(await anext(said), context):
            if message is HEAR:
                self.requests.append(await anext(said))
            else:
                yield message

    StreamGenerate = _stream
    Generate = ReadText = ListConcepts = GetConcept = ListPacks = GetPack = _answer
    ListModels = GetModel = ListPolicies = Check = DeleteConcept = _answer


@asynccontextmanager
async def serve(
    *script: Behaviour, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[ScriptedServer]:
    """Run a server on 127.0.0.1."""
    scripted, server = ScriptedServer(script), grpc.aio.server()
    for module in (
        concept_service_pb2_grpc.add_ConceptServiceServicer_to_server,
        generation_service_pb2_grpc.add_GenerationServiceServicer_to_server,
        model_service_pb2_grpc.add_ModelServiceServicer_to_server,
        policy_service_pb2_grpc.add_PolicyServiceServicer_to_server,
        readout_service_pb2_grpc.add_ReadoutServiceServicer_to_server,
        health_pb2_grpc.add_HealthServicer_to_server,
    ):
        module(scripted, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    scripted.target = f"127.0.0.1:{port}"
    await server.start()
    try:
        yield scripted
    finally:
        await server.stop(None)


def send(*messages: Any, request_id: str = "r-1") -> Behaviour:
    """Sends these messages and ends well."""

    async def behave(context: Any) -> AsyncIterator[Any]:
        context.set_trailing_metadata((("vagus-request-id", request_id),))
        for message in messages:
            yield message

    return behave


def send_forever(message: Any) -> Behaviour:
    """Sends the same message until the call is cancelled."""

    async def behave(_: Any) -> AsyncIterator[Any]:
        while True:
            yield message
            await asyncio.sleep(0.005)

    return behave


def fail(
    code: grpc.StatusCode,
    *,
    after: tuple[Any, ...] = (),
    admitted: bool = False,
    info: error_details_pb2.ErrorInfo | None = None,
    retry_after_ms: int | None = None,
) -> Behaviour:
    """Fails, perhaps after messages or after initial metadata."""
    details = []
    if info is not None:
        details.append(info)
    if retry_after_ms is not None:
        delay = duration_pb2.Duration(nanos=retry_after_ms * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    status = status_pb2.Status(code=code.value[0], message=f"it is {code.name}")
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailing = (
        ("vagus-request-id", "r-failed"),
        ("grpc-status-details-bin", status.SerializeToString()),
    )

    async def behave(context: Any) -> AsyncIterator[Any]:
        if admitted:
            await context.send_initial_metadata((("vagus-request-id", "r-failed"),))
        for message in after:
            yield message
        await context.abort(code, status.message, trailing)

    return behave


async def hang(_: Any) -> AsyncIterator[Any]:
    """Never answers."""
    await asyncio.Event().wait()
    yield


class Failed:
    """A failed call, as grpc reports it, without a server."""

    def __init__(self, code: grpc.StatusCode, *trailing: tuple[str, str | bytes]) -> None:
        self._code, self._trailing = code, trailing

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "why"

    def initial_metadata(self) -> tuple[()]:
        return ()

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return self._trailing
