"""From a structure message to vLLM's parameters of structured outputs."""

from typing import Any

from vagus.v1 import sampling_pb2 as pb
from vagus_server.errors import invalid

_MAX_SCHEMA, _MAX_REGEX, _MAX_CHOICES, _MAX_CHOICE = 65536, 4096, 256, 4096


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

        form = message.WhichOneof("form")
        if form is None:
            invalid(f"{field}.form", "must be set")
        if form == "choices":
            texts = list(message.choices.texts)
            _check_size(len(texts), _MAX_CHOICES, f"{field}.choices.texts", "entries")
            for i, text in enumerate(texts):
                _check_size(len(text), _MAX_CHOICE, f"{field}.choices.texts[{i}]", "characters")
            structure = StructuredOutputsParams(choice=texts)
        elif form == "regex":
            _check_size(len(message.regex), _MAX_REGEX, f"{field}.regex", "characters")
            structure = StructuredOutputsParams(regex=message.regex)
        else:
            _check_size(len(message.json_schema), _MAX_SCHEMA, f"{field}.json_schema", "characters")
            structure = StructuredOutputsParams(json=message.json_schema)
        try:
            # As vLLM will when it takes the request; then it is too late for a precise refusal.
            SamplingParams(structured_outputs=structure)._validate_structured_outputs(
                self._config.model_config, self._config.structured_outputs_config, self._tokenizer
            )
        except VLLMValidationError:
            invalid(f"{field}.{form}", "is not valid, or uses what cannot be enforced")
        return structure


def _check_size(size: int, limit: int, field: str, what: str) -> None:
    if not 1 <= size <= limit:
        invalid(field, f"must have 1 to {limit} {what}", value=size, limit=limit)
