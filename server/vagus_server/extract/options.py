"""Options of the commands that run a model on texts: extract, write-stories, evaluate."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vagus_server.models import bundled

if TYPE_CHECKING:
    from vagus_server.engine.settings import EngineSettings

_ENGINE = "Engine"

Model = Annotated[Path | None, typer.Option(help="Folder of the model; default: the bundled one.")]
Seed = Annotated[int, typer.Option(help="Of all that is drawn by chance.")]
DType = Annotated[
    str,
    typer.Option(
        help="Number type; default: float32 on a CPU, else the model's.", rich_help_panel=_ENGINE
    ),
]
MaxBatchedTokens = Annotated[
    int, typer.Option(help="Token budget of a forward pass.", rich_help_panel=_ENGINE)
]
MaxModelLen = Annotated[int, typer.Option(help="Longest text in tokens.", rich_help_panel=_ENGINE)]
KVCacheGiB = Annotated[
    float | None,
    typer.Option(help="KV cache on a CPU in GiB; default: 2.", rich_help_panel=_ENGINE),
]
GPUMemoryUtilization = Annotated[
    float, typer.Option(help="Share of a GPU's memory to take.", rich_help_panel=_ENGINE)
]
Eager = Annotated[bool, typer.Option(help="Run without compilation.", rich_help_panel=_ENGINE)]
EngineOptions = Annotated[
    str,
    typer.Option(help="Further vLLM engine arguments, as a JSON object.", rich_help_panel=_ENGINE),
]


def engine_settings(
    model: Path | None,
    dtype: str,
    max_batched_tokens: int,
    max_model_len: int,
    kv_cache_gib: float | None,
    gpu_memory_utilization: float,
    eager: bool,
    engine_options: str,
) -> "EngineSettings":
    """The engine that these options ask for.

    Raises:
        ValueError: the engine options are no JSON.
    """
    from vagus_server.engine.settings import EngineSettings, platform_defaults

    dtype, kv_cache_gib = platform_defaults(dtype, kv_cache_gib)
    return EngineSettings(
        model=model or bundled.ensure_bundled_model(),
        dtype=dtype,
        max_model_len=max_model_len,
        max_batched_tokens=max_batched_tokens,
        kv_cache_gib=kv_cache_gib,
        gpu_memory_utilization=gpu_memory_utilization,
        eager=eager,
        engine_options=json.loads(engine_options),
    )
