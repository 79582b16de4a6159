"""Builds the requests of generating and reading calls."""

from collections.abc import Sequence
from typing import Any, cast

from vagus._operation import Program
from vagus._program import program_message
from vagus._prompt import PromptLike, prompt_message, prompt_messages
from vagus._sampling import SamplingOptions, sampling_message
from vagus._selection import ReadoutsLike, selection_message
from vagus.v1.generation_service_pb2 import GenerationSpec
from vagus.v1.readout_service_pb2 import ReadTextRequest


class GenerateOptions(SamplingOptions, total=False):
    """Keyword arguments of generating calls, beside those of sampling.

    Keys:
        model: Name of the served model, to be sure, or of one of its LoRA adapters. Default:
            whichever is served.
        pack: Name or digest of the pack, to be sure. Default: whichever is served.
        request_id: The caller's own id, at most 128 visible ASCII characters, unique among
            running requests. Default: the server makes one.
        policies: Names of policies (see `Client.policies`) that watch this request beside those
            that watch every one. Default: none.
    """

    model: str
    pack: str
    request_id: str
    policies: str | Sequence[str]


def generation_spec(
    prompt: PromptLike,
    program: Program | None,
    readouts: ReadoutsLike | None,
    options: GenerateOptions,
) -> GenerationSpec:
    """What generating calls are asked.

    Raises:
        TypeError: A prompt or an option is of the wrong type, or unknown.
        ValueError: A unit, token set or role is unknown.
    """
    own = GenerateOptions.__annotations__.keys() - SamplingOptions.__annotations__.keys()
    named: dict[str, Any] = {key: value for key, value in options.items() if key in own}
    if isinstance(policy := options.get("policies"), str):
        named["policies"] = [policy]
    sampling = {key: value for key, value in options.items() if key not in own}
    return GenerationSpec(
        prompt=prompt_message(prompt),
        sampling=sampling_message(cast(SamplingOptions, sampling)),
        program=program_message(program),
        readouts=selection_message(readouts, default_tokens="generation"),
        **named,
    )


def read_request(
    inputs: PromptLike | Sequence[PromptLike],
    concepts: ReadoutsLike | None,
    program: Program | None,
    model: str,
    logprobs: bool = False,
) -> ReadTextRequest:
    """What ReadText is asked.

    Raises:
        TypeError: An input is of the wrong type.
        ValueError: A unit, token set or role is unknown.
    """
    return ReadTextRequest(
        model=model,
        inputs=prompt_messages(inputs),
        readouts=selection_message(concepts, default_tokens="prompt"),
        program=program_message(program),
        logprobs=logprobs,
    )
