"""A random LoRA adapter for the tiny Llama."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from support.tiny_models import HIDDEN, INTERMEDIATE, LAYERS

_RANK, _SCALE = 4, 2
_SHAPES = {"self_attn.q_proj": (HIDDEN, HIDDEN), "mlp.down_proj": (HIDDEN, INTERMEDIATE)}


def write_tiny_adapter(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    """Writes an adapter; returns what it adds to each weight."""
    draw = torch.Generator().manual_seed(seed)
    tensors, added = {}, {}
    for layer in range(LAYERS):
        for name, (rows, columns) in _SHAPES.items():
            a = torch.randn(_RANK, columns, generator=draw) * 0.3
            b = torch.randn(rows, _RANK, generator=draw) * 0.3
            path = f"model.layers.{layer}.{name}"
            tensors[f"base_model.model.{path}.lora_A.weight"] = a
            tensors[f"base_model.model.{path}.lora_B.weight"] = b
            added[f"{path}.weight"] = _SCALE * b @ a
    config = {
        "peft_type": "LORA",
        "r": _RANK,
        "lora_alpha": _SCALE * _RANK,
        "target_modules": [name.split(".")[1] for name in _SHAPES],
        "bias": "none",
    }
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return added
