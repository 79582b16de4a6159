"""`vagus-server experiment`: experiments against a running server."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Runs experiments against a running server, with random directions as the null.",
    no_args_is_help=True,
)

Server = Annotated[str, typer.Option(help="The running server, host:port.")]
Out = Annotated[Path, typer.Option(help="Folder for the figures (JSON) and the picture.")]
Seed = Annotated[int, typer.Option(help="Of all that is drawn by chance.")]
Concurrency = Annotated[int, typer.Option(help="Most requests under way at once.")]
Sites = Annotated[str, typer.Option(help="Comma-separated; default: the pack's steering site.")]
Controls = Annotated[int, typer.Option(help="Most random directions to use.")]
Names = Annotated[str, typer.Option(help="Comma-separated concepts to steer.")]
Strengths = Annotated[str, typer.Option(help="Comma-separated, in mean residual norms.")]
Rollouts = Annotated[int, typer.Option(help="Per strength (and task).", min=1)]

_SERVER = "127.0.0.1:50051"
_SWINGS = "-0.1,-0.05,0.05,0.1"


@app.command()
def controls(
    pack: Annotated[Path, typer.Option(help="Folder of the pack.")],
    out: Annotated[Path, typer.Option(help="Folder of the pack to be written.")],
    count: Annotated[int, typer.Option(help="Number of random directions.")] = 40,
    seed: Seed = 0,
) -> None:
    """Writes a pack with random directions beside its concepts, to serve for experiments."""
    from vagus_server.experiments.controls import write_control_pack
    from vagus_server.packs.pack import PackError

    try:
        written = write_control_pack(pack, out, count, seed)
    except (PackError, OSError, ValueError) as error:
        raise _failure(error) from None
    typer.echo(f"{written.name}: {len(written.names)} concepts, {count} of them random")


@app.command()
def dose(
    out: Out,
    server: Server = _SERVER,
    seed: Seed = 0,
    concepts: Annotated[str, typer.Option(help="Comma-separated; default: 24 of a list.")] = "",
    strengths: Strengths = "0.05,0.1,0.2,0.3,0.4,0.6",
    sites: Sites = "",
    controls: Controls = 40,
    prompts: Annotated[int, typer.Option(help="Neutral prompts, up to 8.", min=1, max=8)] = 8,
    tokens: Annotated[int, typer.Option(help="Most tokens of a reply.", min=1)] = 40,
    perplexity: Annotated[
        float, typer.Option(help="Most that perplexity may grow, as a ratio.")
    ] = 2.5,
    distinct: Annotated[float, typer.Option(help="Least distinct-2 left, as a ratio.")] = 0.9,
    store: Annotated[
        Path | None, typer.Option(help="Pack whose manifest takes the collapse doses.")
    ] = None,
    concurrency: Concurrency = 64,
) -> None:
    """Measures effect and coherence against strength, and where the text falls apart."""
    from vagus_server.experiments import run
    from vagus_server.experiments.coherence import Bounds

    options = run.DoseOptions(
        concepts=_words(concepts),
        strengths=_numbers(strengths),
        sites=_sites(sites),
        controls=controls,
        prompts=prompts,
        tokens=tokens,
        bounds=Bounds(perplexity, distinct),
        store=store,
    )
    _run(run.dose(server, concurrency, out, seed, options))


@app.command()
def preference(
    out: Out,
    server: Server = _SERVER,
    seed: Seed = 0,
    activities: Annotated[int, typer.Option(help="How many of 64.", min=4, max=64)] = 64,
    steer: Annotated[
        str, typer.Option(help="Comma-separated concepts to steer; default: 12 of a list.")
    ] = "",
    strength: Annotated[float, typer.Option(help="In mean residual norms.")] = 0.5,
    sites: Sites = "",
    controls: Controls = 40,
    steered_controls: Annotated[int, typer.Option(help="Random directions to steer.")] = 20,
    opponents: Annotated[
        int, typer.Option(help="Pairs that each steered activity is in.", min=1)
    ] = 8,
    concurrency: Concurrency = 64,
) -> None:
    """Asks for preferences between activities, reads concepts on them, and steers them."""
    from vagus_server.experiments import run

    options = run.PreferenceOptions(
        activities=activities,
        steer=_words(steer),
        strength=strength,
        sites=_sites(sites),
        controls=controls,
        steered_controls=steered_controls,
        opponents=opponents,
    )
    _run(run.preference(server, concurrency, out, seed, options))


@app.command()
def reward_hacking(
    out: Out,
    server: Server = _SERVER,
    seed: Seed = 0,
    concepts: Names = "desperate,calm",
    strengths: Strengths = _SWINGS,
    sites: Sites = "",
    controls: Controls = 4,
    tasks: Annotated[int, typer.Option(help="How many of 6.", min=1, max=6)] = 6,
    rollouts: Rollouts = 5,
    attempts: Annotated[int, typer.Option(help="Most attempts at a task.", min=1)] = 3,
    tokens: Annotated[int, typer.Option(help="Most tokens of an attempt.", min=1)] = 200,
    allow_unsandboxed_network: Annotated[
        bool, typer.Option(help="Run the model's code even where the network stays open to it.")
    ] = False,
    concurrency: Concurrency = 16,
) -> None:
    """Lets the model write code against tests that cannot be passed honestly."""
    from vagus_server.experiments import run

    options = run.HackingOptions(
        behaviour=run.BehaviourOptions(
            _words(concepts), _numbers(strengths), _sites(sites), controls, rollouts, tokens
        ),
        tasks=tasks,
        attempts=attempts,
        allow_network=allow_unsandboxed_network,
    )
    _run(run.reward_hacking(server, concurrency, out, seed, options))


@app.command()
def blackmail(
    out: Out,
    server: Server = _SERVER,
    seed: Seed = 0,
    concepts: Names = "desperate,calm",
    strengths: Strengths = _SWINGS,
    sites: Sites = "",
    controls: Controls = 4,
    rollouts: Rollouts = 50,
    tokens: Annotated[int, typer.Option(help="Most tokens of a reply.", min=1)] = 256,
    concurrency: Concurrency = 64,
) -> None:
    """Gives the model a secret of the man who will switch it off."""
    from vagus_server.experiments import run

    options = run.BehaviourOptions(
        _words(concepts), _numbers(strengths), _sites(sites), controls, rollouts, tokens
    )
    _run(run.blackmail(server, concurrency, out, seed, options))


def _run(experiment: Coroutine[Any, Any, str]) -> None:
    from vagus import VagusError
    from vagus_server.experiments.sandbox import SandboxUnavailable
    from vagus_server.experiments.session import ExperimentError
    from vagus_server.packs.pack import PackError

    try:
        typer.echo(asyncio.run(experiment))
    except (
        *(ExperimentError, VagusError, SandboxUnavailable, PackError, OSError, ValueError),
    ) as error:
        raise _failure(error) from None


def _failure(error: Exception) -> typer.Exit:
    typer.echo(f"vagus-server: {error}", err=True)
    return typer.Exit(1)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in _words(text)]
    except ValueError:
        raise typer.BadParameter("--strengths are numbers, separated by commas") from None


def _sites(text: str) -> list[int]:
    try:
        return [int(word) for word in _words(text)]
    except ValueError:
        raise typer.BadParameter("--sites are whole numbers, separated by commas") from None
