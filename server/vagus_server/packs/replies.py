"""Lets the model write, plainly or with a vector added to one site, to sample its own traffic."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from vagus_server.packs.activations import LanguageModel


@dataclass(frozen=True)
class Addition:
    """Something added to the residual stream at every position of one site."""

    site: int
    #: One row per prompt, float32 [prompts, hidden].
    vectors: torch.Tensor


def write_replies(
    lm: LanguageModel,
    prompts: list[list[int]],
    tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    addition: Addition | None = None,
) -> list[list[int]]:
    """Continues all prompts in one batch, padded on the left.

    Args:
        prompts: token ids.
        tokens: most tokens of a reply.
        temperature: 0 is greedy; else samples from the whole distribution.
        seed: of the sampling; the global generator is left as it was.

    Returns:
        The replies' tokens, without the end-of-sequence token.
    """
    longest = max(map(len, prompts))
    end = int(lm.model.generation_config.eos_token_id)
    padded = torch.tensor([[end] * (longest - len(ids)) + ids for ids in prompts])
    mask = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts])
    sampling = {"temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature else {}
    with _added(lm, addition), torch.inference_mode(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        written = lm.model.generate(
            padded,
            attention_mask=mask,
            max_new_tokens=tokens,
            do_sample=temperature > 0,
            pad_token_id=end,
            **sampling,
        )
    replies = [row[longest:].tolist() for row in written]
    return [ids[: ids.index(end)] if end in ids else ids for ids in replies]


@contextmanager
def _added(lm: LanguageModel, addition: Addition | None) -> Iterator[None]:
    if addition is None:
        yield
        return
    vectors = addition.vectors[:, None, :]

    def hook(_module: torch.nn.Module, _arguments: object, output: Any) -> Any:
        if isinstance(output, tuple):
            return (output[0] + vectors, *output[1:])
        return output + vectors

    handle = lm.layers[addition.site].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
