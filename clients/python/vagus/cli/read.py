"""`vagus read`: which concepts a text carries."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from vagus._constants import DEFAULT_TARGET
from vagus._result import Reading, Token
from vagus.cli._color import colored
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect
from vagus.cli._json import print_json, reading_json
from vagus.cli._output import console, table, z_cell
from vagus.cli._steer import parse_concepts


def read(
    file: Annotated[
        str | None, typer.Argument(help="File to read; '-' or nothing is standard input.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Text to read instead of a file.")] = None,
    concepts: Annotated[
        str | None, typer.Option("--read", help="Concepts, comma-separated. Default: all.")
    ] = None,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show the tokens too.")] = False,
    color: Annotated[
        str | None, typer.Option(help="Concept that colours the tokens. Default: the strongest.")
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="Most concepts to show; 0 is all.")] = 15,
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """Score a text, as it stands, on the pack's concepts."""
    content = _content(file, text)
    with connect(server, ca, insecure, tenant) as client:
        [reading] = client.read(content, parse_concepts(concepts))
    if as_json:
        print_json(reading_json(reading))
        return
    ranked = sorted(reading.mean.z.items(), key=lambda item: -item[1])
    if tokens and ranked:
        concept = color or ranked[0][0]
        if concept not in reading.mean.z:
            raise typer.BadParameter(f"{concept} was not read", param_hint="--color")
        _print_tokens(reading, concept)
    _print_means(reading, ranked[: top or None])


def _content(file: str | None, text: str | None) -> str:
    if text is not None:
        if file is not None:
            raise typer.BadParameter("give either FILE or --text")
        return text
    if file in (None, "-"):
        if file is None and sys.stdin.isatty():
            raise typer.BadParameter("give FILE, '-' or --text")
        return sys.stdin.read()
    try:
        return Path(str(file)).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(str(error), param_hint="FILE") from error


def _print_tokens(reading: Reading, concept: str) -> None:
    screen = console()
    for token in reading.tokens:
        z = _z(token, concept)
        if screen.is_terminal:
            screen.print(colored(token.text, z), end="", soft_wrap=True)
        else:
            typer.echo(f"{'' if z is None else format(z, '+.2f')}\t{token.text!r}")
    screen.print()


def _print_means(reading: Reading, ranked: list[tuple[str, float]]) -> None:
    means = table("concept", "mean z", "peak z", "at")
    for name, z in ranked:
        # Every text has a first token, which _z leaves out, and may have no other.
        scored = ((_z(token, name), token) for token in reading.tokens)
        peaks = [(peak, token) for peak, token in scored if peak is not None]
        peak, token = max(peaks, key=lambda each: each[0], default=(z, None))
        at = f"{token.text!r} ({_position(token)})" if token else ""
        means.add_row(colored(name, None), z_cell(z), z_cell(peak), colored(at, None))
    console().print(means)


def _position(token: Token) -> int:
    return token.readout.position if token.readout else 0


def _z(token: Token, concept: str) -> float | None:
    # At position 0 many models keep an attention sink, whose projections mean nothing.
    if token.readout is None or token.readout.position == 0:
        return None
    return token.readout.z.get(concept)
