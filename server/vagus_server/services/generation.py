"""GenerationService."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, nullcontext

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import generation_service_pb2_grpc as pb_grpc
from vagus_server.engine.running import Running
from vagus_server.services.context import REQUEST_ID_KEY, ServicerContext, current_call
from vagus_server.services.converse import Changes, first_message
from vagus_server.services.interleave import interleaved
from vagus_server.services.pace import parts
from vagus_server.services.prepare import Continuation, Prepared, prepare
from vagus_server.services.served import Served
from vagus_server.services.submission import Submission
from vagus_server.services.turns import after_row
from vagus_server.telemetry.spans import request_span


class GenerationService(pb_grpc.GenerationServiceServicer):
    """Generates, steered and read."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: ServicerContext
    ) -> pb.GenerateResponse:
        """Collects the stream into one answer."""
        prepared = prepare(self._served, request.spec, context, whole=True)
        response = pb.GenerateResponse()
        for _ in prepared.continuations[1:]:
            response.others.add()
        async with self._run(prepared) as messages:
            async for message in messages:
                for i, readout in enumerate(message.prompt_readouts, 1):
                    response.prompt_readouts.append(readout)
                    await after_row(i)
                if message.HasField("layout"):
                    response.layout.CopyFrom(message.layout)
                whole = response.others[message.index - 1] if message.index else response
                whole.text += message.text
                whole.tokens.extend(message.tokens)
                whole.policy_events.extend(message.policy_events)
                if message.HasField("finish"):
                    whole.finish.CopyFrom(message.finish)
        return response

    async def StreamGenerate(  # noqa: N802
        self, request: pb.StreamGenerateRequest, context: ServicerContext
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Streams outputs as they arise, or as they are taken where that is later."""
        prepared = prepare(self._served, request.spec, context)
        async with self._run(prepared) as messages:
            first = True
            async for message in messages:
                if first:
                    await _send_request_id(context)
                    first = False
                yield message

    async def Converse(  # noqa: N802
        self, requests: AsyncIterator[pb.ConverseRequest], context: ServicerContext
    ) -> AsyncIterator[pb.ConverseResponse]:
        """Streams as StreamGenerate does, and takes changes meanwhile."""
        spec = await first_message(requests)
        prepared = prepare(self._served, spec, context, field="start", live=True)
        changes = Changes(self._served, prepared, requests)
        async with self._run(prepared, changes) as messages:
            first = True
            async for message in messages:
                if first:
                    await _send_request_id(context)
                    first = False
                for changed in await changes.answers(last=message.HasField("finish")):
                    yield pb.ConverseResponse(changed=changed)
                yield pb.ConverseResponse(output=message)

    @asynccontextmanager
    async def _run(
        self, prepared: Prepared, changes: Changes | None = None
    ) -> AsyncIterator[AsyncGenerator[pb.StreamGenerateResponse]]:
        requests = [one.request for one in prepared.continuations]
        # The ids are taken from here on; the engine hears of a request when it has a place.
        with Submission(self._served.engine, requests) as submission:
            streams = [
                # The call has begun with the first one: the others wait for its places too.
                self._one(one, submission, prepared.operation, changes, limited=i == 0)
                for i, one in enumerate(prepared.continuations)
            ]
            async with aclosing(interleaved(streams)) as messages:
                yield messages

    async def _one(
        self,
        continuation: Continuation,
        submission: Submission,
        operation: str,
        changes: Changes | None,
        *,
        limited: bool,
    ) -> AsyncGenerator[pb.StreamGenerateResponse]:
        request, answer = continuation.request, continuation.answer
        served = self._served
        start = time.perf_counter()
        with submission.run(request) as running:
            if changes is not None:
                changes.begin(running)
            try:
                async with served.admission.place(limited=limited) as place:
                    served.metrics.queued(place.waited)
                    # The reader may take his time; others need not wait for him.
                    running.sink.on_end = place.free
                    with (
                        served.metrics.running(request.program) as progress,
                        request_span(running, served.name, operation),
                    ):
                        try:
                            async with aclosing(running.outputs()) as outputs:
                                async for output in outputs:
                                    elapsed = time.perf_counter() - start
                                    progress.tokens(len(output.token_ids), elapsed)
                                    self._note_policies(running)
                                    if answer.owes_prompt:
                                        async with changes.still if changes else nullcontext():
                                            await answer.read_prompt(running)
                                    for part in parts(output):
                                        yield answer.message(running, part)
                        finally:
                            progress.left(running.generated)
                            served.metrics.finished(running, served.engine.sinks)
                            current_call.get().ended(running)
            finally:
                if changes is not None:
                    changes.end()

    def _note_policies(self, running: Running) -> None:
        for event in running.new_events():
            self._served.metrics.policies.event(event.policy.name, event.kind)
            current_call.get().note(
                "policy",
                policy=event.policy.name,
                kind=event.kind,
                position=event.position,
                value=round(event.value, 4),
            )


async def _send_request_id(context: ServicerContext) -> None:
    # An empty frame of initial metadata looks like none to gRPC in Python.
    request_id = current_call.get().request_id
    await context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
