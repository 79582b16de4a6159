"""Short ways to say what the tests ask the server for, in generated messages alone."""

from typing import Any

import grpc
import numpy as np

from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import generation_service_pb2_grpc as generation_grpc
from vagus.v1 import prompt_pb2, readout_pb2, sampling_pb2, steering_pb2

RESIDUAL = steering_pb2.STRENGTH_UNIT_RESIDUAL
VECTOR = steering_pb2.STRENGTH_UNIT_VECTOR
ABSOLUTE = steering_pb2.STRENGTH_UNIT_ABSOLUTE
PHASES = {
    "prompt": steering_pb2.PHASE_PROMPT,
    "generation": steering_pb2.PHASE_GENERATION,
    "all": steering_pb2.PHASE_ALL,
}
EVERYTHING = readout_pb2.ReadoutSelection(
    prompt=True, generation=True, before=True, after=True, raw=True, z_score=True
)
GENERATION = readout_pb2.ReadoutSelection(
    generation=True, last_prompt_token=True, before=True, after=True, raw=True
)


def add(
    concept: str,
    strength: float,
    sites: tuple[int, ...] = (),
    unit: int = RESIDUAL,
    phase: str | None = None,
) -> steering_pb2.Operation:
    """An ADD operation."""
    operation = steering_pb2.Operation(
        concept=concept, sites=sites, add=steering_pb2.Add(strength=strength, unit=unit)
    )
    if phase is not None:
        operation.scope.include.add(phase=PHASES[phase])
    return operation


def spec(
    prompt: str | list[int] | prompt_pb2.Chat,
    *operations: steering_pb2.Operation,
    readouts: readout_pb2.ReadoutSelection | None = None,
    request_id: str = "",
    **sampling: Any,
) -> generation.GenerationSpec:
    """A generation request: greedy, 16 tokens, past the end of sequence."""
    message = generation.GenerationSpec(
        sampling=sampling_pb2.Sampling(
            **({"temperature": 0, "max_tokens": 16, "ignore_eos": True} | sampling)
        ),
        request_id=request_id,
        readouts=readouts,
    )
    if operations:
        message.program.operations.extend(operations)
    if isinstance(prompt, str):
        message.prompt.text = prompt
    elif isinstance(prompt, list):
        message.prompt.token_ids.ids.extend(prompt)
    else:
        message.prompt.chat.CopyFrom(prompt)
    return message


def generate(
    channel: grpc.Channel,
    request: generation.GenerationSpec,
    tenant: str = "",
    timeout: float = 300,
) -> generation.GenerateResponse:
    """Calls Generate."""
    stub = generation_grpc.GenerationServiceStub(channel)
    metadata = (("vagus-tenant", tenant),) if tenant else ()
    return stub.Generate(
        generation.GenerateRequest(spec=request), timeout=timeout, metadata=metadata
    )


def stream(channel: grpc.Channel, request: generation.GenerationSpec, timeout: float = 300) -> Any:
    """Calls StreamGenerate; the call object iterates over messages."""
    stub = generation_grpc.GenerationServiceStub(channel)
    return stub.StreamGenerate(generation.StreamGenerateRequest(spec=request), timeout=timeout)


def ids(response: generation.GenerateResponse) -> list[int]:
    """The generated token ids."""
    return [token.id for token in response.tokens]


def rows(response: generation.GenerateResponse) -> dict[int, np.ndarray]:
    """Raw readouts by position, [K, 2] (before, after), prompt and generation together."""
    readouts = [*response.prompt_readouts, *(t.readout for t in response.tokens)]
    return {
        r.position: np.array([r.sites[0].before, r.sites[0].after]).T for r in readouts if r.sites
    }
