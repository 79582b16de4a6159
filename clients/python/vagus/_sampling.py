"""How tokens are chosen."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from vagus.v1 import sampling_pb2 as pb


class SamplingOptions(TypedDict, total=False):
    """Keyword arguments of generating calls; what is not given takes the server's default.

    Keys:
        temperature: 0 is greedy. Range 0 to 2; default 1.
        top_p: Nucleus mass, above 0 up to 1. Default 1.
        top_k: Number of most likely tokens kept; 0 keeps all. Default 0.
        min_p: Minimum probability relative to the most likely token, 0 to 1. Default 0.
        presence_penalty: -2 to 2. Default 0.
        frequency_penalty: -2 to 2. Default 0.
        repetition_penalty: Above 0 up to 2. Default 1.
        seed: Makes the sampling of this request repeatable.
        max_tokens: Most tokens to generate. Default 256.
        min_tokens: Fewest tokens before anything but max_tokens may end the request.
        ignore_eos: Go on past the end-of-sequence token.
        stop: The request ends before one of these strings appears.
        stop_token_ids: The request ends after one of these tokens.
        logprobs: Number of alternatives returned with each token, 0 to 20; 0 returns the
            chosen token's log-probability alone, unset none.
        n: Number of continuations, 1 to 16, in `Result.others`; more than 1 need a
            temperature. Default 1.
        json_schema: The text is JSON that this schema describes. At most one of these three.
        regex: The text as a whole matches this.
        choices: The text is one of these.
    """

    temperature: float
    top_p: float
    top_k: int
    min_p: float
    presence_penalty: float
    frequency_penalty: float
    repetition_penalty: float
    seed: int
    max_tokens: int
    min_tokens: int
    ignore_eos: bool
    stop: str | Sequence[str]
    stop_token_ids: Sequence[int]
    logprobs: int
    n: int
    json_schema: str | Mapping[str, Any]
    regex: str
    choices: Sequence[str]


def sampling_message(options: SamplingOptions) -> pb.Sampling | None:
    """The proto form; None when every option is the server's default.

    Raises:
        TypeError: There is no such option, or it has the wrong type.
        ValueError: A whole number is negative or too large for its field, or the text should
            have two structures.
    """
    if unknown := options.keys() - SamplingOptions.__annotations__.keys():
        raise TypeError(f"unknown option {', '.join(sorted(unknown))}")
    if not options:
        return None
    fields: dict[str, Any] = dict(options)
    if isinstance(stop := options.get("stop"), str):
        fields["stop"] = [stop]
    forms = {name: fields.pop(name) for name in _FORMS if name in fields}
    if forms:
        fields["structure"] = _structure(forms)
    return pb.Sampling(**fields)


_FORMS = ("json_schema", "regex", "choices")


def _structure(forms: dict[str, Any]) -> pb.Structure:
    if len(forms) > 1:
        raise ValueError(f"the text can have one structure; got {', '.join(forms)}")
    ((name, value),) = forms.items()
    if name == "choices":
        return pb.Structure(choices=pb.Choices(texts=value))
    if isinstance(value, Mapping):
        value = json.dumps(value)
    return pb.Structure(**{name: value})
