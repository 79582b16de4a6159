"""GenerationService."""

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import generation_service_pb2_grpc as pb_grpc
from vagus_server.engine.engine import EngineRequest
from vagus_server.readouts.render import Renderer
from vagus_server.readouts.selection import resolve_selection
from vagus_server.services.answer import Answer, check_answer_size
from vagus_server.services.context import (
    REQUEST_ID_KEY,
    ServicerContext,
    check_deadline,
    check_request_id,
    current_call,
)
from vagus_server.services.sampling import sampling_arguments
from vagus_server.services.served import Served
from vagus_server.telemetry.spans import request_span


class GenerationService(pb_grpc.GenerationServiceServicer):
    """Generates, steered and read."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def Generate(  # noqa: N802
        self, request: pb.GenerateRequest, context: ServicerContext
    ) -> pb.GenerateResponse:
        """Collects the stream into one answer."""
        response = pb.GenerateResponse()
        async for message in self._run(request.spec, context, whole=True):
            response.text += message.text
            response.tokens.extend(message.tokens)
            response.prompt_readouts.extend(message.prompt_readouts)
            if message.HasField("layout"):
                response.layout.CopyFrom(message.layout)
            if message.HasField("finish"):
                response.finish.CopyFrom(message.finish)
        return response

    async def StreamGenerate(  # noqa: N802
        self, request: pb.StreamGenerateRequest, context: ServicerContext
    ) -> AsyncIterator[pb.StreamGenerateResponse]:
        """Streams each output of the engine as one message."""
        async with aclosing(self._run(request.spec, context, whole=False)) as messages:
            first = True
            async for message in messages:
                if first:
                    # An empty frame of initial metadata looks like none to gRPC in Python.
                    request_id = current_call.get().request_id
                    await context.send_initial_metadata(((REQUEST_ID_KEY, request_id),))
                    first = False
                yield message

    async def _run(
        self, spec: pb.GenerationSpec, context: ServicerContext, *, whole: bool
    ) -> AsyncGenerator[pb.StreamGenerateResponse]:
        request, answer = self._prepare(spec, context, whole)
        served = self._served
        start = time.perf_counter()
        running = served.engine.submit(request)
        operation = "chat" if spec.prompt.HasField("chat") else "text_completion"
        with (
            served.metrics.running(request.program) as progress,
            request_span(running, served.name, operation),
        ):
            try:
                async with aclosing(running.outputs()) as outputs:
                    async for output in outputs:
                        progress.tokens(len(output.token_ids), time.perf_counter() - start)
                        yield answer.message(running, output)
            finally:
                served.engine.close(request)
                served.metrics.finished(running, served.engine.sinks)

    def _prepare(
        self, spec: pb.GenerationSpec, context: ServicerContext, whole: bool
    ) -> tuple[EngineRequest, Answer]:
        """Validates everything before anything is admitted.

        `whole`: the answer is one message, not one per output.
        """
        served, call = self._served, current_call.get()
        check_request_id(spec.request_id, "spec.request_id")
        if spec.request_id:
            call.request_id = spec.request_id
        check_deadline(context)
        adapter = served.check_model(spec.model)
        served.check_pack(spec.pack)
        prompt = served.encoder.encode(spec.prompt, "spec.prompt", add_generation_prompt=True)
        token_ids = prompt.ids
        sampling = sampling_arguments(
            spec.sampling,
            served.max_model_len - len(token_ids),
            served.vocabulary_size,
            "spec.sampling",
        )
        if spec.sampling.HasField("structure"):
            sampling["structured_outputs"] = served.structures.argument(
                spec.sampling.structure, "spec.sampling.structure"
            )
        program = served.resolver.resolve(spec.program, prompt.map, "spec.program", call.tenant)
        selection = renderer = None
        if spec.HasField("readouts"):
            selection = resolve_selection(
                spec.readouts,
                served.pack,
                served.readout_sites,
                "spec.readouts",
                served.registry.own(call.tenant),
            )
            renderer = Renderer(selection, served.pack, served.readout_sites)
            tokens = len(selection.prompt_positions(len(token_ids)))
            if whole and selection.generation:
                tokens += sampling["max_tokens"]
            check_answer_size(selection, tokens, "spec.readouts")
        served.check_unused(call.request_id, call.request_id)
        served.check_room()
        request = EngineRequest(
            request_id=call.request_id,
            token_ids=token_ids,
            sampling=sampling,
            program=program,
            read=selection.positions(len(token_ids)) if selection else (),
            tenant=call.tenant,
            adapter=adapter,
        )
        return request, Answer(served.encoder, served.pack.residual_norms, selection, renderer)
