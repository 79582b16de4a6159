"""`vagus-server write-stories`: a corpus by the model itself."""

from pathlib import Path
from typing import Annotated

import typer

from vagus_server.extract import options
from vagus_server.extract.topics import TOPICS


def write_stories(
    out: Annotated[Path, typer.Option(help="File of JSON lines to be written.")],
    concepts: Annotated[
        str, typer.Option(help="Comma-separated; default: all that have a meaning.")
    ] = "",
    meanings: Annotated[
        Path | None,
        typer.Option(
            help='JSON {CONCEPT: {"means": TEXT, "banned": [WORD, ...]}}: what a story has to '
            "show, and words that it must not contain; default: the bundled 171 concepts.",
        ),
    ] = None,
    topics: Annotated[
        int,
        typer.Option(help="Stories per concept, each in its own setting.", min=1, max=len(TOPICS)),
    ] = len(TOPICS),
    model: options.Model = None,
    seed: options.Seed = 0,
    dtype: options.DType = "",
    max_batched_tokens: options.MaxBatchedTokens = 2048,
    max_model_len: options.MaxModelLen = 2048,
    kv_cache_gib: options.KVCacheGiB = None,
    gpu_memory_utilization: options.GPUMemoryUtilization = 0.9,
    eager: options.Eager = False,
    engine_options: options.EngineOptions = "{}",
) -> None:
    """Lets the model write the stories that `extract --corpus` reads, as the paper's model did."""
    from vagus_server.extract.offline import OfflineEngine, model_shape
    from vagus_server.extract.own_stories import write_own_stories
    from vagus_server.packs.corpus import CORPUS, load_concepts
    from vagus_server.plugin.pin import Unsupported

    try:
        known = load_concepts(meanings or CORPUS / "concepts.json")
        wanted = [name.strip() for name in concepts.split(",")] if concepts else list(known)
        if unknown := [name for name in wanted if name not in known]:
            raise ValueError(f"no meaning is known of {unknown[0]!r}; see --meanings")
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
        out.parent.mkdir(parents=True, exist_ok=True)
        engine = OfflineEngine(settings, *model_shape(settings.model), concepts=1, vectors=1)
        try:
            counts = write_own_stories(engine, {n: known[n] for n in wanted}, topics, seed, out)
        finally:
            engine.close()
    except (Unsupported, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{out}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
