"""Tiny random checkpoints of many model families, as transformers writes them."""

from pathlib import Path
from typing import Any

import torch
import transformers

HIDDEN, INTERMEDIATE, LAYERS, VOCABULARY = 64, 96, 3, 128
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": INTERMEDIATE,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
_HEADS = {"head_dim": 32}
_GEMMA = {**_HEADS, "sliding_window": 16, "query_pre_attn_scalar": 32}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}

#: Family: name of its configuration class, and what differs from `_COMMON`.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaConfig", {}),
    "Mistral": ("MistralConfig", {**_HEADS, "sliding_window": None}),
    "Mixtral": ("MixtralConfig", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "Qwen2": ("Qwen2Config", {}),
    "Qwen3": ("Qwen3Config", _HEADS),
    "Qwen3-MoE": ("Qwen3MoeConfig", {**_HEADS, **_EXPERTS, "num_experts": 4}),
    "Gemma2": ("Gemma2Config", {**_GEMMA, "tie_word_embeddings": True}),
    "Gemma3": ("Gemma3TextConfig", _GEMMA),
    "Phi-3": ("Phi3Config", {}),
    "OLMo2": ("Olmo2Config", {}),
    "Granite": (
        "GraniteConfig",
        {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.6,
            "attention_multiplier": 0.2,
            "logits_scaling": 2.0,
        },
    ),
    "GPT-NeoX": ("GPTNeoXConfig", {"rotary_pct": 0.5, "num_key_value_heads": 2}),
    "GPT-2": ("GPT2Config", {"n_inner": 96}),
    "Falcon": (
        "FalconConfig",
        {"multi_query": True, "parallel_attn": True, "new_decoder_architecture": False},
    ),
}


def write_tiny_model(family: str, folder: Path) -> str:
    """Writes a checkpoint whose every weight is random; returns its architecture."""
    name, differing = FAMILIES[family]
    config = getattr(transformers, name)(**{**_COMMON, **differing})
    torch.manual_seed(len(family))
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        # As transformers initialises them, layers barely move the stream, norms weigh 1 and
        # biases are 0: a test on that would miss much.
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    model.save_pretrained(folder)
    return type(model).__name__
