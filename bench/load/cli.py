"""The harness's command line."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Load and faults.")

Out = Annotated[Path | None, typer.Option(help="Where the result goes, as JSON.")]
Seed = Annotated[int, typer.Option(help="Of all chance.")]


def tell(result: dict[str, object], out: Path | None) -> None:
    """Prints a result, and writes it where asked."""
    text = json.dumps(result, indent=2)
    print(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text + "\n")


@app.command()
def hostile(
    calls: Annotated[int, typer.Option(help="Hostile calls over gRPC.")] = 100_000,
    connections: Annotated[int, typer.Option(help="Garbled connections.")] = 5000,
    structures: Annotated[bool, typer.Option(help="With structures, which vLLM checks.")] = False,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Malformed and hostile requests against the API with a fake engine."""
    from bench.load.hostile import run

    result, faults = run(calls, connections, structures, seed)
    tell(result, out)
    raise typer.Exit(1 if faults else 0)


@app.command()
def soak(
    requests: Annotated[int, typer.Option(help="Requests in all.")] = 200_000,
    concurrency: Annotated[int, typer.Option(help="Requests at once.")] = 32,
    engine: Annotated[
        bool, typer.Option(help="Over the real engine with the bundled model; 10,000 are many.")
    ] = False,
    picture: Annotated[Path | None, typer.Option(help="Latency and memory over time.")] = None,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """Many requests: what stays behind. Without --engine, over an engine without a model."""
    from bench.load.soak import draw, run

    result = run(requests, concurrency, engine, seed)
    tell(result, out)
    if picture is not None:
        draw(result, picture)


@app.command()
def bare(
    calls: Annotated[int, typer.Option(help="Streams that are cancelled.")] = 30_000,
    message_bytes: Annotated[int, typer.Option(help="Length of their messages.")] = 100,
    out: Out = None,
) -> None:
    """The soak's control: memory of a gRPC service that is not ours."""
    from bench.load.bare import run

    tell(run(calls, message_bytes), out)


@app.command()
def stalled(
    streams: Annotated[int, typer.Option(help="Streams that are read.")] = 450,
    readers: Annotated[int, typer.Option(help="Further streams that nobody reads.")] = 50,
    tokens: Annotated[int, typer.Option(help="Tokens of each stream.")] = 40,
    step_seconds: Annotated[float, typer.Option(help="Between two tokens.")] = 1.0,
    rounds: Annotated[int, typer.Option(help="Pairs of runs, with and without.")] = 3,
    out: Out = None,
) -> None:
    """Streams that are read beside others whose readers have stopped."""
    from bench.load.stalled import run

    tell(run(streams, readers, tokens, step_seconds, rounds), out)


@app.command()
def load(
    target: Annotated[str, typer.Option(help="Address of a server.")] = "localhost:50051",
    rate: Annotated[float, typer.Option(help="Requests that arrive per second.")] = 2.0,
    seconds: Annotated[float, typer.Option(help="For how long they arrive.")] = 30.0,
    prompt_tokens: Annotated[int, typer.Option(help="Median length of a prompt.")] = 64,
    max_tokens: Annotated[int, typer.Option(help="Median length of an answer.")] = 64,
    steered: Annotated[float, typer.Option(help="Share with a program.")] = 0.5,
    read: Annotated[float, typer.Option(help="Share with readouts.")] = 0.5,
    slow: Annotated[float, typer.Option(help="Share whose reader pauses between messages.")] = 0.1,
    pause: Annotated[float, typer.Option(help="Seconds of such a pause.")] = 0.2,
    cancelled: Annotated[float, typer.Option(help="Share cancelled midway.")] = 0.05,
    concepts: Annotated[str, typer.Option(help="To steer by and read, with commas.")] = "calm,sad",
    dose: Annotated[float, typer.Option(help="Of a program.")] = 0.1,
    seed: Seed = 0,
    out: Out = None,
) -> None:
    """An open loop: requests arrive at their times, however the server does."""
    from bench.load.generate import Mix, run

    names = tuple(concepts.split(","))
    mix = Mix(prompt_tokens, max_tokens, steered, read, slow, pause, cancelled, names, dose)
    tell(run(target, rate, seconds, mix, seed), out)
