"""From a spec to a request and its answer: everything is validated before anything is admitted."""

from dataclasses import dataclass, replace

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import readout_pb2
from vagus_server.access.scopes import Scope
from vagus_server.engine.request import EngineRequest
from vagus_server.errors import invalid
from vagus_server.plugin.wire import NO_END
from vagus_server.readouts.render import Renderer
from vagus_server.readouts.selection import Selection, resolve_selection
from vagus_server.services.answer import (
    Answer,
    check_answer_size,
    check_prompt_rows,
    check_whole_answer,
)
from vagus_server.services.context import (
    ServicerContext,
    check_deadline,
    check_request_id,
    current_call,
)
from vagus_server.services.sampling import (
    continuations,
    of_continuation,
    sampling_arguments,
)
from vagus_server.services.served import Served
from vagus_server.steering.scope import PromptMap


@dataclass(frozen=True)
class Continuation:
    """A request that can be admitted, and what builds its answer."""

    request: EngineRequest
    answer: Answer


@dataclass(frozen=True)
class Prepared:
    """What a call asks for, validated."""

    continuations: list[Continuation]
    prompt: PromptMap
    #: By OpenTelemetry's name: "chat" or "text_completion".
    operation: str


def prepare(
    served: Served,
    spec: pb.GenerationSpec,
    context: ServicerContext,
    *,
    field: str = "spec",
    whole: bool = False,
    live: bool = False,
) -> Prepared:
    """Validates a spec.

    Args:
        served: what is served.
        spec: what is asked.
        context: of the call.
        field: path of the spec in the call's message.
        whole: the answer is one message, not one per output.
        live: program and readouts may change while it runs; there is one continuation then.

    Raises:
        ApiError: with the path of the offending field.
    """
    call = current_call.get()
    check_request_id(spec.request_id, f"{field}.request_id")
    if spec.request_id:
        call.request_id = spec.request_id
    check_deadline(context)
    adapter = served.check_model(spec.model)
    served.check_pack(spec.pack)
    prompt = served.encoder.encode(spec.prompt, f"{field}.prompt", add_generation_prompt=True)
    token_ids = prompt.ids
    sampling = sampling_arguments(
        spec.sampling,
        served.max_model_len - len(token_ids),
        served.vocabulary_size,
        f"{field}.sampling",
    )
    if spec.sampling.HasField("structure"):
        call.structure = f"{field}.sampling.structure"
        sampling["structured_outputs"] = served.structures.argument(
            spec.sampling.structure, call.structure
        )
    count = continuations(spec.sampling, f"{field}.sampling")
    if live and count > 1:
        invalid(f"{field}.sampling.n", "must be 1: a change would not say of which continuation")
    program = served.resolver.resolve(
        spec.program, prompt.map, f"{field}.program", call.tenant, call.limits.max_dose
    )
    policies = served.policies.of_request(spec.policies, program, field)
    selection = renderer = None
    most, readout_bytes = count * int(sampling["max_tokens"]), 0
    if spec.HasField("readouts"):
        selection, renderer = reading(served, spec.readouts, f"{field}.readouts")
        tokens = len(selection.prompt_positions(len(token_ids)))
        check_prompt_rows(tokens, served.row_bytes, f"{field}.readouts")
        if whole and selection.generation:
            tokens += most
        check_answer_size(selection, tokens, f"{field}.readouts")
        readout_bytes = selection.answer_bytes(tokens)
    if whole:
        logprobs = sampling.get("logprobs", 0)
        check_whole_answer(readout_bytes, most, logprobs, f"{field}.sampling")
    # The first has the caller's own id, so that no other running request can have it.
    ids = [call.engine_id + (f"#{i}" if i else "") for i in range(count)]
    served.check_unused(call.request_id, *ids)
    served.check_room(count)
    prepared = []
    for i, request_id in enumerate(ids):
        if i == 1 and selection is not None:
            # The prompt is the same: one reads it, the others take it from the cache.
            selection = replace(selection, prompt=False, last_prompt_token=False)
        read = selection.positions(len(token_ids)) if selection else ()
        request = EngineRequest(
            request_id=request_id,
            token_ids=token_ids,
            sampling=of_continuation(sampling, i),
            program=program,
            read=(*read, (len(token_ids) - 1, NO_END)) if live else read,
            tenant=call.tenant,
            adapter=adapter,
            policies=policies,
        )
        norms = served.pack.residual_norms
        answer = Answer(served.encoder, norms, len(token_ids), selection, renderer, i)
        prepared.append(Continuation(request, answer))
    call.open(count - 1)  # the call itself has a place already
    call.reserve(*(one.request for one in prepared))
    call.hold([program], served.bank_rows)
    call.note_steering([program], [spec.prompt])
    operation = "chat" if spec.prompt.HasField("chat") else "text_completion"
    return Prepared(prepared, prompt.map, operation)


def reading(
    served: Served, message: readout_pb2.ReadoutSelection, field: str
) -> tuple[Selection, Renderer]:
    """What is read, and how it is told; raises ApiError."""
    call = current_call.get()
    call.caller.check(Scope.READ, field=field)
    own = served.registry.own(call.tenant)
    selection = resolve_selection(message, served.pack, served.readout_sites, field, own)
    return selection, Renderer(selection, served.pack, served.readout_sites)
