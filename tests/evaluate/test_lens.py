"""The logit lens's weights are what each family's own final norm and unembedding do."""

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from support.tiny_models import HIDDEN, VOCABULARY, write_tiny_model
from vagus_server.evaluate.lens import load_lens


class Letters:
    """A tokenizer for the tiny models."""

    def __len__(self) -> int:
        return VOCABULARY

    def decode(self, ids: list[int]) -> str:
        return f"token {ids[0]}"


@pytest.mark.parametrize("family", ["Llama", "Qwen3", "Gemma2", "Gemma3"])
def test_directions_become_the_models_own_logits(family: str, tmp_path: Path) -> None:
    write_tiny_model(family, tmp_path)
    lens = load_lens(tmp_path, Letters())
    assert lens is not None
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    direction = torch.from_numpy(np.random.default_rng(0).standard_normal(HIDDEN)).float()
    with torch.inference_mode():
        # No more than the norm and the unembedding: some families cap their logits afterwards.
        logits = model.lm_head(model.model.norm(direction[None, None]))[0, 0].numpy()
    # The norm divides by the direction's length besides.
    found = lens.weights @ (direction / direction.square().mean().sqrt()).numpy()
    np.testing.assert_allclose(found, logits, rtol=1e-3, atol=1e-4)
