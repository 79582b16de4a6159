"""LoRA adapters: named when the server starts, chosen by each request."""

import json
from pathlib import Path
from typing import Any

from vagus_server.plugin.pin import Unsupported

#: Ranks that vLLM has kernels for.
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)


def adapter_options(adapters: dict[str, Path]) -> dict[str, Any]:
    """vLLM's engine arguments for these adapters; all fit in a batch.

    Raises:
        Unsupported: a folder holds no adapter, or one of too high a rank.
    """
    if not adapters:
        return {}
    rank = max(_rank(name, folder) for name, folder in adapters.items())
    fitting = next(r for r in _RANKS if r >= rank)
    return {"enable_lora": True, "max_loras": len(adapters), "max_lora_rank": fitting}


def _rank(name: str, folder: Path) -> int:
    try:
        rank = int(json.loads((folder / "adapter_config.json").read_text())["r"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unsupported(
            f"{folder} holds no LoRA adapter for {name}: {type(error).__name__} in "
            "adapter_config.json"
        ) from None
    if not 1 <= rank <= _RANKS[-1]:
        raise Unsupported(f"the adapter {name} has rank {rank}; 1 to {_RANKS[-1]} are served")
    if not (folder / "adapter_model.safetensors").is_file():
        raise Unsupported(f"{folder} has no adapter_model.safetensors for {name}")
    return rank


def adapter_request(adapters: dict[str, Path], name: str) -> Any:
    """vLLM's LoRARequest for one of the adapters; None for the empty name."""
    if not name:
        return None
    from vllm.lora.request import LoRARequest

    number = list(adapters).index(name) + 1
    return LoRARequest(lora_name=name, lora_int_id=number, lora_path=str(adapters[name]))
