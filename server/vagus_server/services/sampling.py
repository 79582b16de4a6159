"""From a sampling message to keyword arguments of vLLM's SamplingParams."""

import math
from typing import Any

import grpc

from vagus.v1 import sampling_pb2 as pb
from vagus_server.errors import ApiError, check_count, invalid

DEFAULT_MAX_TOKENS = 256
_MAX_STOPS, _MAX_STOP_CHARACTERS, _MAX_STOP_TOKENS, _MAX_LOGPROBS = 16, 256, 64, 20
_MOST_CONTINUATIONS = 16
#: Field: lowest, highest, whether the lowest itself is allowed.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "temperature": (0, 2, True),
    "top_p": (0, 1, False),
    "min_p": (0, 1, True),
    "presence_penalty": (-2, 2, True),
    "frequency_penalty": (-2, 2, True),
    "repetition_penalty": (0, 2, False),
}


def sampling_arguments(
    message: pb.Sampling, room: int, vocabulary_size: int, field: str
) -> dict[str, Any]:
    """Returns the arguments, or raises ApiError with the path of the offending field.

    Args:
        message: the request's sampling.
        room: tokens that the context has left for generation; max_tokens is cut to it.
        vocabulary_size: stop tokens at or above it are refused.
        field: path of the message in the request.
    """
    arguments: dict[str, Any] = {"temperature": 1.0}
    for name, (lowest, highest, inclusive) in _RANGES.items():
        if message.HasField(name):
            value = getattr(message, name)
            _check_range(value, lowest, highest, inclusive, f"{field}.{name}")
            arguments[name] = value
    if message.HasField("top_k"):
        arguments["top_k"] = min(message.top_k, vocabulary_size)
    if message.HasField("seed"):
        if message.seed >= 2**63:
            invalid(f"{field}.seed", "must be below 2^63", value=message.seed)
        arguments["seed"] = message.seed
    arguments |= _lengths(message, room, field)
    arguments |= _stops(message, vocabulary_size, field)
    if message.HasField("logprobs"):
        if message.logprobs > _MAX_LOGPROBS:
            invalid(
                f"{field}.logprobs",
                f"must be at most {_MAX_LOGPROBS}",
                value=message.logprobs,
                limit=_MAX_LOGPROBS,
            )
        arguments["logprobs"] = message.logprobs
    return arguments


def continuations(message: pb.Sampling, field: str) -> int:
    """How many continuations are asked for, or raises ApiError."""
    if not message.HasField("n"):
        return 1
    if not 1 <= message.n <= _MOST_CONTINUATIONS:
        limit = _MOST_CONTINUATIONS
        invalid(f"{field}.n", f"must be 1 to {limit}", value=message.n, limit=limit)
    if message.n > 1 and message.HasField("temperature") and message.temperature == 0:
        invalid(f"{field}.n", "above 1 needs a temperature: greedy continuations are all the same")
    return message.n


def of_continuation(arguments: dict[str, Any], index: int) -> dict[str, Any]:
    """The arguments of one continuation: with a seed, each has its own."""
    if "seed" not in arguments:
        return arguments
    return arguments | {"seed": (arguments["seed"] + index) % 2**63}


def _check_range(value: float, lowest: float, highest: float, inclusive: bool, field: str) -> None:
    above = value >= lowest if inclusive else value > lowest
    if not (math.isfinite(value) and above and value <= highest):
        opening = "[" if inclusive else "("
        invalid(
            field,
            f"must be in {opening}{lowest}, {highest}]",
            value=value,
            limit=f"{opening}{lowest}, {highest}]",
        )


def _lengths(message: pb.Sampling, room: int, field: str) -> dict[str, Any]:
    wanted = message.max_tokens if message.HasField("max_tokens") else DEFAULT_MAX_TOKENS
    if wanted == 0:
        invalid(f"{field}.max_tokens", "must be at least 1", value=0)
    if message.min_tokens > wanted:
        invalid(
            f"{field}.min_tokens",
            f"is above max_tokens ({wanted})",
            value=message.min_tokens,
            limit=wanted,
        )
    max_tokens = min(wanted, room)
    return {
        "max_tokens": max_tokens,
        "min_tokens": min(message.min_tokens, max_tokens),
        "ignore_eos": message.ignore_eos,
    }


def _stops(message: pb.Sampling, vocabulary_size: int, field: str) -> dict[str, Any]:
    check_count(len(message.stop), _MAX_STOPS, f"{field}.stop")
    stops = list(message.stop)
    for i, stop in enumerate(stops):
        if not 1 <= len(stop) <= _MAX_STOP_CHARACTERS:
            invalid(
                f"{field}.stop[{i}]",
                f"must have 1 to {_MAX_STOP_CHARACTERS} characters",
                value=len(stop),
                limit=_MAX_STOP_CHARACTERS,
            )
    check_count(len(message.stop_token_ids), _MAX_STOP_TOKENS, f"{field}.stop_token_ids")
    tokens = list(message.stop_token_ids)
    for i, token_id in enumerate(tokens):
        if token_id >= vocabulary_size:
            path = f"{field}.stop_token_ids[{i}]"
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOKEN_ID_OUT_OF_RANGE",
                f"{path} is {token_id}; the vocabulary has {vocabulary_size}",
                field=path,
                value=token_id,
                limit=vocabulary_size - 1,
            )
    return {"stop": stops, "stop_token_ids": tokens}
