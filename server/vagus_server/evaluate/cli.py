"""`vagus-server evaluate`: says how good a concept pack is."""

import json
from pathlib import Path
from typing import Annotated

import typer

from vagus_server.models import bundled


def evaluate(
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")],
    out: Annotated[Path, typer.Option(help="Folder of the report to be written.")],
    model: Annotated[
        Path | None, typer.Option(help="Folder of the model; default: the bundled one.")
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of the corpus that the pack is of; default: the bundled one."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Where story means are kept; an extraction's saves measuring them anew."),
    ] = None,
    start: Annotated[int, typer.Option(help="First token of a story that was averaged.")] = 50,
    neutral_share: Annotated[
        float, typer.Option(help="Share of the neutral texts' variance that was projected out.")
    ] = 0.5,
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
    """Evaluates a pack: held-out readings, another writer, scenarios, geometry, nulls."""
    from vllm.platforms import current_platform

    from vagus_server.engine.settings import EngineSettings
    from vagus_server.evaluate.run import evaluate_pack
    from vagus_server.packs.corpus import CORPUS, CorpusError, load_corpus
    from vagus_server.packs.pack import Pack, PackError
    from vagus_server.plugin.pin import Unsupported

    on_cpu = current_platform.is_cpu()
    try:
        settings = EngineSettings(
            model=model or bundled.ensure_bundled_model(),
            dtype=dtype or ("float32" if on_cpu else "auto"),
            max_model_len=max_model_len,
            max_batched_tokens=max_batched_tokens,
            kv_cache_gib=(kv_cache_gib or 2.0) if on_cpu else kv_cache_gib,
            gpu_memory_utilization=gpu_memory_utilization,
            eager=eager,
            engine_options=json.loads(engine_options),
        )
        sections = evaluate_pack(
            settings,
            Pack.load(pack),
            load_corpus(corpus or CORPUS),
            start,
            neutral_share,
            seed,
            out,
            work or out.with_name(out.name + ".work"),
        )
    except (CorpusError, PackError, Unsupported, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    for section in sections:
        for figure in section.figures:
            if figure.floor is not None:
                name = f"{section.title}, {figure.name}"
                typer.echo(
                    f"{name}: {figure.value:.3f} (least {figure.floor:.2f}): {figure.verdict}"
                )
    typer.echo(str(out / "report.html"))
