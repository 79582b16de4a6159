"""`vagus-server extract`: makes a concept pack for a model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vagus_server.models import bundled


def extract(
    out: Annotated[Path, typer.Option(help="Folder of the pack to be written.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model; default: the bundled one.")
    ] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="Folder of a corpus; default: the bundled one.")
    ] = None,
    name: Annotated[str, typer.Option(help="Of the pack; default: the folder's name.")] = "",
    version: Annotated[str, typer.Option(help="Of the pack.")] = "1.0.0",
    model_name: Annotated[str, typer.Option(help="Of the model; default: its folder's name.")] = "",
    work: Annotated[
        Path | None,
        typer.Option(help="Where an interrupted run can go on from; default: OUT.work."),
    ] = None,
    start: Annotated[int, typer.Option(help="First token of a story that is averaged.")] = 50,
    neutral_share: Annotated[
        float, typer.Option(help="Share of the neutral texts' variance that is projected out.")
    ] = 0.5,
    steering_site: Annotated[
        list[int] | None,
        typer.Option(
            help="Site to steer at, taken as it is; given more than once, the best of these; "
            "default: the best of the model's middle."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn by chance.")] = 0,
    dtype: Annotated[
        str, typer.Option(help="Number type; default: float32 on a CPU, else the model's.")
    ] = "",
    max_batched_tokens: Annotated[int, typer.Option(help="Token budget of a forward pass.")] = 2048,
    max_model_len: Annotated[int, typer.Option(help="Longest text in tokens.")] = 2048,
    kv_cache_gib: Annotated[
        float | None, typer.Option(help="KV cache on a CPU in GiB; default: 2.")
    ] = None,
    gpu_memory_utilization: Annotated[
        float, typer.Option(help="Share of a GPU's memory to take.")
    ] = 0.9,
    eager: Annotated[bool, typer.Option(help="Run without compilation.")] = False,
    engine_options: Annotated[
        str, typer.Option(help="Further vLLM engine arguments, as a JSON object.")
    ] = "{}",
) -> None:
    """Extracts concept vectors, statistics and sites from a corpus, at engine speed."""
    from vllm.platforms import current_platform

    from vagus_server.engine.settings import EngineSettings
    from vagus_server.extract.build import Label, Recipe, build_pack
    from vagus_server.extract.source import of_corpus
    from vagus_server.packs.corpus import CORPUS, CorpusError, load_corpus
    from vagus_server.packs.pack import PackError
    from vagus_server.plugin.pin import Unsupported

    on_cpu = current_platform.is_cpu()
    folder = model or bundled.ensure_bundled_model()
    try:
        settings = EngineSettings(
            model=folder,
            dtype=dtype or ("float32" if on_cpu else "auto"),
            max_model_len=max_model_len,
            max_batched_tokens=max_batched_tokens,
            kv_cache_gib=(kv_cache_gib or 2.0) if on_cpu else kv_cache_gib,
            gpu_memory_utilization=gpu_memory_utilization,
            eager=eager,
            engine_options=json.loads(engine_options),
        )
        pack = build_pack(
            settings,
            of_corpus(load_corpus(corpus or CORPUS)),
            Recipe(start, neutral_share, seed, tuple(steering_site or ())),
            Label(name or out.name, version, model_name or folder.name),
            out,
            work or out.with_name(out.name + ".work"),
        )
    except (CorpusError, PackError, Unsupported, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{pack.name} {pack.manifest.version} sha256 {pack.digest}")
