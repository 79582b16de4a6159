"""Random LoRA adapters for models of the Llama family."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

_RANK, _SCALE = 4, 2


def write_adapter(
    folder: Path, seed: int, layers: int, hidden: int, intermediate: int, size: float = 0.3
) -> dict[str, torch.Tensor]:
    """Writes an adapter of two projections a layer; returns what it adds to each weight."""
    draw = torch.Generator().manual_seed(seed)
    shapes = {"self_attn.q_proj": (hidden, hidden), "mlp.down_proj": (hidden, intermediate)}
    tensors, added = {}, {}
    for layer in range(layers):
        for name, (rows, columns) in shapes.items():
            a = torch.randn(_RANK, columns, generator=draw) * size
            b = torch.randn(rows, _RANK, generator=draw) * size
            path = f"model.layers.{layer}.{name}"
            tensors[f"base_model.model.{path}.lora_A.weight"] = a
            tensors[f"base_model.model.{path}.lora_B.weight"] = b
            added[f"{path}.weight"] = _SCALE * b @ a
    config = {
        "peft_type": "LORA",
        "r": _RANK,
        "lora_alpha": _SCALE * _RANK,
        "target_modules": [name.split(".")[1] for name in shapes],
        "bias": "none",
    }
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "adapter_model.safetensors")
    return added
