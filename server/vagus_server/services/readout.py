"""ReadoutService."""

import asyncio
from contextlib import aclosing
from typing import Any

import numpy as np

from vagus.v1 import readout_pb2
from vagus.v1 import readout_service_pb2 as pb
from vagus.v1 import readout_service_pb2_grpc as pb_grpc
from vagus_server.engine.request import EngineRequest
from vagus_server.engine.running import Running
from vagus_server.errors import invalid
from vagus_server.readouts.render import Renderer
from vagus_server.readouts.selection import Selection
from vagus_server.services.answer import check_answer_size, check_prompt_rows, checked_row
from vagus_server.services.context import (
    ServicerContext,
    check_deadline,
    check_request_id,
    current_call,
)
from vagus_server.services.prepare import reading
from vagus_server.services.receipt import receipt_message
from vagus_server.services.served import Served
from vagus_server.services.submission import Submission
from vagus_server.services.turns import after_row
from vagus_server.telemetry.spans import request_span

_MAX_INPUTS = 64
#: vLLM always generates; a reading is over with its first token, which is thrown away.
_SAMPLING = {"temperature": 0.0, "max_tokens": 1}


class ReadoutService(pb_grpc.ReadoutServiceServicer):
    """Reads given text: prefill alone, all inputs in one batch."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def ReadText(  # noqa: N802
        self, request: pb.ReadTextRequest, context: ServicerContext
    ) -> pb.ReadTextResponse:
        """Scores the inputs."""
        served = self._served
        check_deadline(context)
        adapter = served.check_model(request.model)
        served.check_pack(request.pack)
        call = current_call.get()
        check_request_id(request.request_id, "request_id")
        if request.request_id:
            call.request_id = request.request_id
        count = len(request.inputs)
        if not 1 <= count <= _MAX_INPUTS:
            invalid(
                "inputs", f"must have 1 to {_MAX_INPUTS} entries", value=count, limit=_MAX_INPUTS
            )
        selection, renderer = self._reading(request)
        sampling = _SAMPLING | ({"prompt_logprobs": 0} if request.logprobs else {})
        requests = []
        for i, message in enumerate(request.inputs):
            prompt = served.encoder.encode(message, f"inputs[{i}]", add_generation_prompt=False)
            await asyncio.sleep(0)  # a long text takes long to tokenise: others have their turn
            program = served.resolver.resolve(
                request.program, prompt.map, "program", call.tenant, call.limits.max_dose
            )
            ids = prompt.ids
            requests.append(
                EngineRequest(
                    request_id=f"{call.engine_id}-{i}",
                    token_ids=ids,
                    sampling=sampling,
                    program=program,
                    read=selection.positions(len(ids)),
                    tenant=call.tenant,
                    monitor=False,
                    adapter=adapter,
                )
            )
        served.check_unused(call.request_id, *(r.request_id for r in requests))
        tokens = sum(len(selection.prompt_positions(len(r.token_ids))) for r in requests)
        check_prompt_rows(tokens, served.row_bytes, "readouts")
        check_answer_size(selection, tokens, "readouts")
        served.check_room(count)
        call.open(count - 1)  # the call itself has a place already
        call.reserve(*requests)
        programs = [r.program for r in requests]
        call.hold(programs, served.bank_rows)
        call.note_steering(programs, request.inputs)
        try:
            with Submission(served.engine, requests) as submission:
                async with asyncio.TaskGroup() as group:
                    # The first one waits for all: the others wait for their own kind as well.
                    tasks = [
                        group.create_task(
                            self._read(r, submission, selection, renderer, limited=i == 0)
                        )
                        for i, r in enumerate(requests)
                    ]
        except ExceptionGroup as failures:
            # The first failure has cancelled the others: it alone says what was wrong.
            raise failures.exceptions[0] from None
        return pb.ReadTextResponse(layout=renderer.layout(), results=[t.result() for t in tasks])

    def _reading(self, request: pb.ReadTextRequest) -> tuple[Selection, Renderer]:
        if request.readouts.generation:
            invalid("readouts.generation", "reads generated tokens, and nothing is generated")
        wanted = readout_pb2.ReadoutSelection()
        wanted.CopyFrom(request.readouts)
        if not wanted.last_prompt_token:
            wanted.prompt = True
        if request.logprobs and not wanted.prompt:
            invalid("logprobs", "needs every token read: set readouts.prompt")
        return reading(self._served, wanted, "readouts")

    async def _read(
        self,
        request: EngineRequest,
        submission: Submission,
        selection: Selection,
        renderer: Renderer,
        *,
        limited: bool,
    ) -> pb.TextReadout:
        served = self._served
        logprobs: list[Any] = []
        with submission.run(request) as running:
            async with served.admission.place(limited=limited) as place:
                served.metrics.queued(place.waited)
                with request_span(running, served.name, "read"):
                    try:
                        async with aclosing(running.outputs()) as outputs:
                            async for output in outputs:
                                logprobs += output.prompt_logprobs
                    finally:
                        served.metrics.read(running, served.engine.sinks)
                        # Not where it never got a place: nothing is charged for what never ran.
                        current_call.get().ended(running)
            return await self._result(running, selection, renderer, logprobs)

    async def _result(
        self, running: Running, selection: Selection, renderer: Renderer, logprobs: list[Any]
    ) -> pb.TextReadout:
        ids = running.request.token_ids
        result = pb.TextReadout(token_count=len(ids))
        total: np.ndarray | float = 0.0
        means = 0
        for position in selection.prompt_positions(len(ids)):
            row = checked_row(running, position, renderer.readout_sites)
            running.row(position)
            text = self._served.encoder.token_text(ids[position])
            token = result.tokens.add(id=ids[position], text=text)
            renderer.fill(token.readout, position, row)
            if position > 0:
                total = total + row.astype(np.float64)
                means += 1
                if logprobs:
                    token.logprob = logprobs[position][ids[position]].logprob
            await after_row(position + 1)
        if means:
            result.mean.CopyFrom(renderer.turn(np.asarray(total), means))
        receipt = receipt_message(running, self._served.pack.residual_norms)
        if receipt is not None:
            result.receipt.CopyFrom(receipt)
        return result
