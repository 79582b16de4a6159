"""`vagus-server extract`: makes a concept pack for a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vagus_server.extract import options

if TYPE_CHECKING:
    from vagus_server.engine.settings import EngineSettings
    from vagus_server.extract.source import Source

_TEXTS, _RECIPE = "Texts", "Recipe"


def extract(
    out: Annotated[Path, typer.Option(help="Folder of the pack to be written.")],
    model: options.Model = None,
    name: Annotated[str, typer.Option(help="Of the pack; default: the folder's name.")] = "",
    version: Annotated[str, typer.Option(help="Of the pack.")] = "1.0.0",
    model_name: Annotated[str, typer.Option(help="Of the model; default: its folder's name.")] = "",
    license_: Annotated[
        str, typer.Option("--license", help="Of the pack, as an SPDX expression.")
    ] = "Apache-2.0",
    work: Annotated[
        Path | None,
        typer.Option(help="Where an interrupted run can go on from; default: OUT.work."),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            help='A file of JSON lines: {"concept", "text", "topic"?} is a story, {"concept", '
            '"side": "positive"|"negative", "text"} one side of a contrast. Or a folder in the '
            "bundled corpus's format. Default: the bundled one.",
            rich_help_panel=_TEXTS,
        ),
    ] = None,
    neutral: Annotated[
        Path | None,
        typer.Option(
            help='JSON lines {"text"} in which no concept is shown, for a corpus that is a file; '
            "default: the bundled ones.",
            rich_help_panel=_TEXTS,
        ),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help='JSON {"reference": [...], "steering": [...]}: what users ask, for reference '
            "statistics and for the sweep; default: the corpus's, or the bundled ones.",
            rich_help_panel=_TEXTS,
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool,
        typer.Option(
            "--skip-bad-rows",
            help="Leave out what breaks a rule, and tell how much, instead of refusing.",
            rich_help_panel=_TEXTS,
        ),
    ] = False,
    start: Annotated[
        int,
        typer.Option(
            help="First token of a story that is averaged.", min=1, rich_help_panel=_RECIPE
        ),
    ] = 50,
    neutral_share: Annotated[
        float,
        typer.Option(
            help="Share of the neutral texts' variance that is projected out.",
            min=0,
            max=1,
            rich_help_panel=_RECIPE,
        ),
    ] = 0.5,
    steering_site: Annotated[
        list[int] | None,
        typer.Option(
            help="Site to steer at, taken as it is; given more than once, the best of these; "
            "default: the best of the model's middle.",
            rich_help_panel=_RECIPE,
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
    """Extracts concept vectors, statistics and sites from texts, at engine speed."""
    from vagus_server.extract.build import Label, Recipe, build_pack
    from vagus_server.packs.pack import PackError
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
        # Before the engine: a bad row should not have to wait for it.
        source = _source(corpus, neutral, prompts, skip_bad_rows, settings)
        pack = build_pack(
            settings,
            source,
            Recipe(start, neutral_share, seed, tuple(steering_site or ())),
            Label(name or out.name, version, model_name or settings.model.name, license_),
            out,
            work or out.with_name(out.name + ".work"),
        )
    except (PackError, Unsupported, OSError, ValueError) as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{pack.name} {pack.manifest.version} sha256 {pack.digest}")


def _source(
    corpus: Path | None,
    neutral: Path | None,
    prompts: Path | None,
    skip_bad_rows: bool,
    settings: "EngineSettings",
) -> "Source":
    from vagus_server.extract.lengths import Lengths
    from vagus_server.extract.source import of_corpus, of_user_corpus
    from vagus_server.packs.corpus import CORPUS, load_corpus, load_prompts
    from vagus_server.packs.user_corpus import Rules, open_corpus

    asked = load_prompts(prompts) if prompts else None
    if corpus is None or corpus.is_dir():
        if neutral or skip_bad_rows:
            raise ValueError("--neutral and --skip-bad-rows go with a --corpus that is a file")
        return of_corpus(load_corpus(corpus or CORPUS), asked)
    rules = Rules(on_bad="skip" if skip_bad_rows else "refuse", length=Lengths(settings))
    mine = open_corpus(corpus, neutral, rules)
    if mine.skipped:
        reasons = ", ".join(f"{count} for {reason}" for reason, count in mine.skipped.items())
        typer.echo(f"left out {sum(mine.skipped.values())} rows: {reasons}", err=True)
    return of_user_corpus(mine, asked or load_prompts(CORPUS / "prompts.json"))
