"""Calls of the services over the engine without a model, on the loop of the test itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry

from support.fake_engine import FakeEngine
from support.small_pack import small_pack
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import readout_service_pb2 as readout
from vagus.v1.prompt_pb2 import Prompt, TokenIds
from vagus.v1.readout_pb2 import ReadoutSelection
from vagus.v1.sampling_pb2 import Sampling
from vagus_server.access.access import Caller
from vagus_server.access.account import Account
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.context import Call, current_call
from vagus_server.services.generation import GenerationService
from vagus_server.services.readout import ReadoutService
from vagus_server.services.served import Limits, Served

PROMPT = Prompt(token_ids=TokenIds(ids=[5, 6, 7]))


def generate(request_id: str = "", n: int = 1, max_tokens: int = 8) -> generation.GenerationSpec:
    """A spec that reads what it generates."""
    return generation.GenerationSpec(
        request_id=request_id,
        prompt=PROMPT,
        sampling=Sampling(n=n, temperature=1.0, max_tokens=max_tokens),
        readouts=ReadoutSelection(generation=True, raw=True),
    )


def read(request_id: str = "", texts: int = 1) -> readout.ReadTextRequest:
    """Texts of three tokens."""
    return readout.ReadTextRequest(request_id=request_id, inputs=[PROMPT] * texts)


class FakeCalls:
    """The services, and what they hold.

    Args:
        places: in the engine at once.
        account: of the one tenant that calls.
        limits: the server's.
        step_seconds: of the engine.
    """

    def __init__(
        self,
        places: int | None = None,
        account: Account | None = None,
        limits: Limits | None = None,
        step_seconds: float = 0.0,
    ) -> None:
        pack = small_pack()
        engine: Any = FakeEngine(pack, step_seconds=step_seconds)
        metrics = Metrics(pack, pack.names, "fake", slots=1, registry=CollectorRegistry())
        self.engine: FakeEngine = engine
        self.account = account or Account()
        self.places = places or 1024
        self.served = Served(
            "fake", engine, metrics, limits or Limits(), engine.registry, places=self.places
        )
        self._generation = GenerationService(self.served)
        self._readout = ReadoutService(self.served)

    async def generate(self, spec: generation.GenerationSpec) -> generation.GenerateResponse:
        """Generate."""
        request = generation.GenerateRequest(spec=spec)
        return await self._call(self._generation.Generate, request)

    async def stream(
        self, spec: generation.GenerationSpec, go_on: asyncio.Event | None = None
    ) -> list[Any]:
        """StreamGenerate, to its end; after the first message it is read no further until then."""
        request = generation.StreamGenerateRequest(spec=spec)
        return await self._call(partial(self._stream, go_on=go_on), request)

    async def converse(
        self, spec: generation.GenerationSpec, *changes: generation.Change
    ) -> list[generation.Changed]:
        """Converse, to its end, with the answers to the changes; its outputs are dropped."""

        async def requests() -> AsyncIterator[generation.ConverseRequest]:
            yield generation.ConverseRequest(start=spec)
            for change in changes:
                yield generation.ConverseRequest(change=change)

        messages = await self._call(self._converse, requests())
        return [message.changed for message in messages if message.HasField("changed")]

    async def engine_idle(self) -> None:
        """Waits until the engine has ended all that it was given."""
        while not all(sink.ended for sink in self.engine._open.values()):
            await asyncio.sleep(0)

    async def read(self, request: readout.ReadTextRequest) -> readout.ReadTextResponse:
        """ReadText."""
        return await self._call(self._readout.ReadText, request)

    async def _stream(self, request: Any, context: Any, go_on: asyncio.Event | None) -> list[Any]:
        taken = []
        async with aclosing(self._generation.StreamGenerate(request, context)) as messages:
            async for message in messages:
                taken.append(message)
                if go_on is not None:
                    await go_on.wait()
        return taken

    async def _converse(self, requests: Any, context: Any) -> list[Any]:
        async with aclosing(self._generation.Converse(requests, context)) as messages:
            return [message async for message in messages]

    async def _call(self, handler: Any, request: Any) -> Any:
        """As the interceptor does; every call is a task of its own."""

        async def send_initial_metadata(metadata: Any) -> None:
            await asyncio.sleep(0)

        context = SimpleNamespace(
            time_remaining=lambda: None, send_initial_metadata=send_initial_metadata
        )
        call = Call("Fake", Caller("acme", account=self.account))
        current_call.set(call)
        call.open()
        try:
            return await handler(request, context)
        finally:
            call.close()

    async def check_nothing_is_left(self) -> None:
        """Once every task has had its turn: no ids, requests, places or calls are held."""
        for _ in range(20):
            await asyncio.sleep(0)
        assert (len(self.engine.sinks), self.engine._open, self.engine._requests) == (0, {}, {})
        assert self.served.admission.waiting == 0
        assert self.served.admission._free._value == self.places
        account = self.account
        assert account._open == len(account.inline_vectors) == len(account.changed_programs) == 0
