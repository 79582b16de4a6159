"""Makes a folder that stands for a larger model: `python bench/serve/shapes.py llama-8b OUT`.

OUT/model has the configuration of the shape, the bundled model's tokenizer and a weights file of
one value, for vLLM's `--load-format dummy`. OUT/pack has 171 random concepts for it. Throughput
does not depend on what the weights say; nothing else can be measured with these.

    python bench/serve/run.py --model OUT/model --pack OUT/pack --load-format dummy \\
        --concept random-000 --batch 1,8,64,256 --max-running 256
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from transformers import AutoTokenizer, LlamaConfig

from vagus_server.models.bundled import ensure_bundled_model
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.pack import SCHEMA_VERSION, ConceptInfo, Manifest, ModelInfo
from vagus_server.packs.write import write_pack

CONCEPTS = 171
#: Hidden size, layers, heads, key-value heads, width of the feed-forward layer.
SHAPES = {
    "llama-1b": (2048, 16, 32, 8, 8192),
    "llama-8b": (4096, 32, 32, 8, 14336),
}


def main() -> None:
    """Writes both folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    hidden, layers, heads, key_value_heads, wide = SHAPES[arguments.shape]
    model = arguments.out / "model"
    LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=128256,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        intermediate_size=wide,
        max_position_embeddings=8192,
        dtype="bfloat16",
    ).save_pretrained(model)
    AutoTokenizer.from_pretrained(ensure_bundled_model()).save_pretrained(model)
    save_file({"lm_head.weight": np.zeros((1, 1), np.float32)}, model / "model.safetensors")
    write_random_pack(arguments.out / "pack", model, arguments.shape, layers, hidden)
    sys.stdout.write(json.dumps({"model": str(model), "pack": str(arguments.out / "pack")}) + "\n")


def write_random_pack(out: Path, model: Path, name: str, sites: int, hidden: int) -> None:
    """Concepts random-000 to random-170: directions drawn by chance, in units of 1."""
    draw = np.random.default_rng(0)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        name=f"random-{name}",
        version="1.0.0",
        license="Apache-2.0",
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        model=ModelInfo(name, model_fingerprint(model), hidden, sites),
        concepts=[ConceptInfo(f"random-{i:03}", "a random direction") for i in range(CONCEPTS)],
        readout_site=sites * 2 // 3,
        steering_site=sites // 2,
        tensors_sha256="",
        provenance={"vectors": "drawn by chance, for benchmarks alone"},
    )
    tensors = {
        "vectors": draw.standard_normal((CONCEPTS, sites, hidden), dtype=np.float32),
        "residual_norms": np.full(sites, np.sqrt(hidden)),
        "reference_mean": np.zeros((CONCEPTS, sites)),
        "reference_std": np.ones((CONCEPTS, sites)),
    }
    write_pack(out, manifest, tensors)


if __name__ == "__main__":
    main()
