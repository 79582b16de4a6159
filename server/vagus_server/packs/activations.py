"""Reads the residual stream after every decoder layer, with forward hooks of transformers.

Site l is the output of decoder layer l, counted from 0, before the final norm. One text at a
time: nothing is padded, so a text's values depend on nothing but the text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

#: Leaves out the first 50 tokens of a story (paper, section 3, step 2).
STORY_START = 50
#: Position 0 is an attention sink; its residual would swamp every mean.
TEXT_START = 1


@dataclass(frozen=True)
class LanguageModel:
    """A causal language model in float32 on the CPU, with its tokenizer."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path) -> "LanguageModel":
        """Loads from a folder with safetensors weights; opens no network connection."""
        # Imported here: commands that only read packs should not pay for transformers.
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True
        )
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return cls(model.eval(), tokenizer)

    @property
    def layers(self) -> list[torch.nn.Module]:
        """The decoder layers; the output of layer l is site l."""
        return list(self.model.get_decoder().layers)

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.hidden_size)

    def encode(self, text: str) -> list[int]:
        """Tokens of a plain text, with whatever the tokenizer adds by itself."""
        return list(self.tokenizer(text)["input_ids"])

    def encode_chat(self, prompt: str) -> list[int]:
        """Tokens of one user turn in the chat template, up to where the reply begins."""
        messages = [{"role": "user", "content": prompt}]
        text = self.tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True
        )
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def residuals(self, tokens: list[int]) -> torch.Tensor:
        """The residual stream of one text, float32 [sites, tokens, hidden]."""
        with _record(self.layers) as seen, torch.inference_mode():
            # The decoder alone: the unembedding is a fifth of a small model's arithmetic.
            self.model.get_decoder()(input_ids=torch.tensor([tokens]), use_cache=False)
        return torch.stack(seen)

    def read(self, tokens: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The residual stream as above, and log-probabilities [tokens, vocabulary]."""
        with _record(self.layers) as seen, torch.inference_mode():
            logits = self.model(input_ids=torch.tensor([tokens]), use_cache=False).logits
        return torch.stack(seen), logits[0].float().log_softmax(dim=-1)


@contextmanager
def _record(layers: list[torch.nn.Module]) -> Iterator[list[torch.Tensor]]:
    seen: list[torch.Tensor] = []

    def hook(_module: torch.nn.Module, _arguments: object, output: Any) -> None:
        seen.append((output[0] if isinstance(output, tuple) else output)[0].float())

    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def text_means(lm: LanguageModel, texts: list[str], start: int) -> np.ndarray:
    """Mean residual of each text over its positions from `start` on.

    Returns:
        float32 [texts, sites, hidden].

    Raises:
        ValueError: a text has no token at or after `start`.
    """
    means = []
    for text in texts:
        tokens = lm.encode(text)
        if len(tokens) <= start:
            raise ValueError(f"a text has {len(tokens)} tokens; the mean begins after {start}")
        means.append(lm.residuals(tokens)[:, start:].mean(dim=1).numpy())
    return np.stack(means)
