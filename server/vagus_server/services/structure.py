"""From a structure message to vLLM's parameters of structured outputs."""

from typing import Any

from vagus.v1 import sampling_pb2 as pb
from vagus_server.errors import invalid
from vagus_server.services.repeats import pattern_repeats, schema_repeats

_MAX_SCHEMA, _MAX_REGEX, _MAX_CHOICES, _MAX_CHOICE = 65536, 4096, 256, 4096
#: How often a part is written out. Compiling takes a thread of the engine's as long as it takes.
_MAX_REPEATS = 1000
#: Form: parameter of vLLM's.
_VLLM_NAMES = {"choices": "choice", "regex": "regex", "json_schema": "json"}


class Structures:
    """Checks structures against the engine that would enforce them.

    Args:
        config: vLLM's.
        tokenizer: the model's.
    """

    def __init__(self, config: Any, tokenizer: Any) -> None:
        self._config = config
        self._tokenizer = tokenizer

    def argument(self, message: pb.Structure, field: str) -> Any:
        """Returns vLLM's StructuredOutputsParams, or raises ApiError."""
        from vllm import SamplingParams
        from vllm.exceptions import VLLMValidationError
        from vllm.sampling_params import StructuredOutputsParams

        form, value = checked_form(message, field)
        structure = StructuredOutputsParams(**{_VLLM_NAMES[form]: value})
        try:
            # As vLLM will when it takes the request; then it is too late for a precise refusal.
            SamplingParams(structured_outputs=structure)._validate_structured_outputs(
                self._config.model_config, self._config.structured_outputs_config, self._tokenizer
            )
        except VLLMValidationError:
            invalid(f"{field}.{form}", "is not valid, or uses what cannot be enforced")
        return structure


def checked_form(message: pb.Structure, field: str) -> tuple[str, str | list[str]]:
    """Which form is set, and what it is; raises ApiError where compiling it could take long."""
    form = message.WhichOneof("form")
    if form is None:
        invalid(f"{field}.form", "must be set")
    if form == "choices":
        listed = message.choices.texts
        _check_size(len(listed), _MAX_CHOICES, f"{field}.choices.texts", "entries")
        texts = list(listed)
        for i, text in enumerate(texts):
            _check_size(len(text), _MAX_CHOICE, f"{field}.choices.texts[{i}]", "characters")
        return form, texts
    if form == "regex":
        _check_size(len(message.regex), _MAX_REGEX, f"{field}.regex", "characters")
        _check_repeats(pattern_repeats(message.regex), f"{field}.regex", "")
        return form, message.regex
    _check_size(len(message.json_schema), _MAX_SCHEMA, f"{field}.json_schema", "characters")
    repeats, keyword = schema_repeats(message.json_schema)
    _check_repeats(repeats, f"{field}.json_schema", f" in a {keyword}")
    return form, message.json_schema


def _check_repeats(repeats: int, field: str, where: str) -> None:
    if repeats > _MAX_REPEATS:
        invalid(
            field,
            f"repeats a part {repeats} times{where}, repeats within repeats multiplied; "
            f"at most {_MAX_REPEATS} are compiled",
            value=repeats,
            limit=_MAX_REPEATS,
        )


def _check_size(size: int, limit: int, field: str, what: str) -> None:
    if not 1 <= size <= limit:
        invalid(field, f"must have 1 to {limit} {what}", value=size, limit=limit)
