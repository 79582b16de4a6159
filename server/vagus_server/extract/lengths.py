"""How long a text may be in the model's tokens, known before an engine runs.

A text's mean leaves position 0 out, so that one token is too few. The model must have room for
a token after the text, since vLLM always generates one.
"""

from typing import Any

from vagus_server.engine.settings import EngineSettings
from vagus_server.packs.user_rows import BadRow, Reason

MIN_TOKENS = 2


def encode(tokenizer: Any, text: str) -> list[int]:
    """Tokens of a plain text, with whatever the tokenizer adds by itself."""
    return list(tokenizer(text)["input_ids"])


def wrong_length(tokens: int, most: int | None) -> BadRow | None:
    """What is wrong with a text of so many tokens, if anything; None for `most` is no limit."""
    if tokens < MIN_TOKENS:
        return BadRow(Reason.TOO_FEW_TOKENS, f"{tokens}, not at least {MIN_TOKENS}")
    if most is not None and tokens > most:
        return BadRow(Reason.TOO_MANY_TOKENS, f"{tokens}, of which the model takes {most}")
    return None


class Lengths:
    """Checks texts by the tokenizer and the longest sequence that an engine will have.

    Args:
        settings: of the engine.
    """

    def __init__(self, settings: EngineSettings) -> None:
        from vllm.tokenizers import get_tokenizer

        options = settings.engine_options
        given = {k: options[k] for k in ("tokenizer_mode", "trust_remote_code") if k in options}
        self._tokenizer = get_tokenizer(options.get("tokenizer", str(settings.model)), **given)
        longest = options.get("max_model_len", settings.max_model_len)
        # Anything else ("16k", -1) is for vLLM to read; the engine then refuses what is too long.
        self._most = longest - 1 if isinstance(longest, int) and longest > 0 else None

    def __call__(self, text: str) -> BadRow | None:
        """What is wrong with a text's length, if anything."""
        return wrong_length(len(encode(self._tokenizer, text)), self._most)
