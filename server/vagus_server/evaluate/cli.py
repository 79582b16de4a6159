"""`vagus-server evaluate`: says how good a concept pack is."""

from pathlib import Path
from typing import Annotated

import typer

from vagus_server.extract import options


def evaluate(
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")],
    out: Annotated[Path, typer.Option(help="Folder of the report to be written.")],
    model: options.Model = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder of the corpus that the pack is of; default: the bundled one."),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Where story means are kept; an extraction's saves measuring them anew."),
    ] = None,
    start: Annotated[
        int | None,
        typer.Option(
            help="First token of a story that was averaged, for a pack that does not say; "
            "default: 50.",
            min=1,
            show_default=False,
        ),
    ] = None,
    neutral_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the neutral texts' variance that was projected out, likewise; "
            "default: 0.5.",
            min=0,
            max=1,
            show_default=False,
        ),
    ] = None,
    seed: options.Seed = 0,
    dtype: options.DType = "",
    max_batched_tokens: options.MaxBatchedTokens = 2048,
    max_model_len: options.MaxModelLen = 2048,
    kv_cache_gib: options.KVCacheGiB = None,
    gpu_memory_utilization: options.GPUMemoryUtilization = 0.9,
    eager: options.Eager = False,
    engine_options: options.EngineOptions = "{}",
) -> None:
    """Evaluates a pack: held-out readings, another writer, scenarios, geometry, nulls."""
    from vagus_server.evaluate.run import evaluate_pack
    from vagus_server.packs.corpus import CORPUS, CorpusError, load_corpus
    from vagus_server.packs.pack import Pack, PackError
    from vagus_server.plugin.pin import Unsupported

    try:
        settings = options.engine_settings(
            model,
            dtype,
            max_batched_tokens,
            max_model_len,
            kv_cache_gib,
            gpu_memory_utilization,
            eager,
            engine_options,
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
