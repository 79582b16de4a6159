"""The client for asyncio."""

import asyncio
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from grpc.aio import AioRpcError

from vagus import _calls
from vagus._async_stream import AsyncStream
from vagus._base import ClientBase
from vagus._concepts import AsyncConcepts
from vagus._conversation import AsyncConversation
from vagus._operation import Program
from vagus._outbox import AsyncOutbox
from vagus._prompt import PromptLike
from vagus._request import GenerateOptions, generation_spec, read_request
from vagus._result import HealthStatus, Reading, Result
from vagus._selection import ReadoutsLike
from vagus._stubs import Stubs
from vagus.v1.concept_service_pb2 import Concept, Pack
from vagus.v1.generation_service_pb2 import ConverseRequest, StreamGenerateRequest
from vagus.v1.model_service_pb2 import Model
from vagus.v1.policy_pb2 import Policy

T = TypeVar("T")


class AsyncClient(ClientBase):
    """A connection to a Vagus server, for one event loop. See `ClientBase` for the options.

    Methods and errors are those of `Client`; calls are awaited, streams iterated with
    `async with` and `async for`.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection and cancel what still runs."""
        await self._channel.close()

    async def generate(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Result:
        """Generate, and return when done. See `Client.generate`."""
        spec = generation_spec(prompt, program, readouts, options)
        return await self._unary(_calls.generate(spec), timeout)

    def stream(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncStream:
        """Generate, and receive tokens as they arise. See `Client.stream`."""
        spec = generation_spec(prompt, program, readouts, options)
        request = StreamGenerateRequest(spec=spec)

        def start(seconds: float) -> Any:
            method = self._stubs.generation.StreamGenerate
            return method(request, timeout=seconds, metadata=self._metadata)

        return AsyncStream(start, self._attempts(timeout), max(spec.sampling.n, 1))

    def converse(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> AsyncConversation:
        """Generate and stream, changing the program meanwhile. See `Client.converse`."""
        spec = generation_spec(prompt, program, readouts, options)
        outbox = AsyncOutbox(ConverseRequest(start=spec))

        def start(seconds: float) -> Any:
            method = self._stubs.generation.Converse
            return method(aiter(outbox), timeout=seconds, metadata=self._metadata)

        return AsyncConversation(start, self._attempts(timeout), program, outbox)

    async def read(
        self,
        inputs: PromptLike | Sequence[PromptLike],
        concepts: ReadoutsLike | None = None,
        *,
        program: Program | None = None,
        model: str = "",
        logprobs: bool = False,
        timeout: float | None = None,
    ) -> list[Reading]:
        """Score texts or conversations without generating. See `Client.read`."""
        request = read_request(inputs, concepts, program, model, logprobs)
        return await self._unary(_calls.read_text(request), timeout)

    @cached_property
    def concepts(self) -> AsyncConcepts:
        """Called, the concepts of the pack and the tenant's own; `upload` and `delete` those."""
        return AsyncConcepts(self._unary)

    async def concept(
        self, name: str, *, vectors: bool = False, timeout: float | None = None
    ) -> Concept:
        """One concept; with `vectors`, its vectors too."""
        return await self._unary(_calls.get_concept(name, vectors), timeout)

    async def packs(self, *, timeout: float | None = None) -> list[Pack]:
        """The packs that are served."""
        return await self._unary(_calls.list_packs(), timeout)

    async def pack(self, name: str = "", *, timeout: float | None = None) -> Pack:
        """A pack, by name or digest; by default the served one."""
        return await self._unary(_calls.get_pack(name), timeout)

    async def models(self, *, timeout: float | None = None) -> list[Model]:
        """The models of this server."""
        return await self._unary(_calls.list_models(), timeout)

    async def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """A model and what can be asked of it; by default the served one."""
        return await self._unary(_calls.get_model(name), timeout)

    async def policies(self, *, timeout: float | None = None) -> list[Policy]:
        """The server's policies, in the order in which they add to programs."""
        return await self._unary(_calls.list_policies(), timeout)

    async def health(self, service: str = "", *, timeout: float | None = None) -> HealthStatus:
        """What the standard health service says about a service; by default the server."""
        return await self._unary(_calls.check_health(service), timeout)

    # Made on first use: grpc.aio binds a channel to the event loop that runs when it is made.
    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        options = self._channel_options
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._target, options)
        return grpc.aio.secure_channel(self._target, self._credentials, options)

    @cached_property
    def _stubs(self) -> Stubs:
        return Stubs(self._channel)

    async def _unary(self, call: _calls.Call[T], timeout: float | None) -> T:
        attempts = self._attempts(timeout)
        method = call.method(self._stubs)
        while True:
            try:
                rpc = method(call.argument, timeout=attempts.remaining(), metadata=self._metadata)
                response = await rpc
            except AioRpcError as failure:
                delay = attempts.delay_after(failure)
            else:
                return call.read(response, await rpc.trailing_metadata())
            await asyncio.sleep(delay)
