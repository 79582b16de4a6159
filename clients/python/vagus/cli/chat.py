"""`vagus chat`: steered replies, token by token."""

import sys
from contextlib import suppress
from typing import Annotated

import typer

from vagus._constants import DEFAULT_TARGET
from vagus._errors import VagusError
from vagus._operation import Operation, Unit
from vagus._prompt import Message
from vagus._request import GenerateOptions
from vagus._scope import TokenSet
from vagus._selection import Readouts
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect, report
from vagus.cli._reply import Replier
from vagus.cli._steer import parse_concepts, parse_steer


def chat(
    prompt: Annotated[
        str | None, typer.Argument(help="What to say. Default: standard input, or a conversation.")
    ] = None,
    steer: Annotated[
        list[str] | None,
        typer.Option(help="CONCEPT=STRENGTH or CONCEPT=STRENGTH@SITES; repeatable."),
    ] = None,
    unit: Annotated[Unit, typer.Option(help="Unit of the strengths.")] = "residual",
    scope: Annotated[TokenSet, typer.Option(help="Tokens that are steered.")] = "all",
    read: Annotated[
        str | None,
        typer.Option(
            help="Concepts to read, comma-separated, 'all' or 'none'. Default: those steered."
        ),
    ] = None,
    color: Annotated[
        str | None, typer.Option(help="Concept that colours the tokens. Default: the first read.")
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Policy that watches, beside those for every request; repeatable."),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Most tokens to generate.")] = None,
    temperature: Annotated[float | None, typer.Option(min=0, help="0 is greedy.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Makes sampling repeatable.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Use no chat template.")] = False,
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """Generate a steered reply; without PROMPT on a terminal, hold a conversation."""
    program = parse_steer(steer or [], unit, scope)
    readouts, color = _readouts(program, parse_concepts(read), color)
    options: GenerateOptions = {}
    if max_tokens is not None:
        options["max_tokens"] = max_tokens
    if temperature is not None:
        options["temperature"] = temperature
    if seed is not None:
        options["seed"] = seed
    if policy:
        options["policies"] = policy
    conversation = _is_conversation(prompt)
    if conversation and as_json:
        raise typer.BadParameter("--json needs a PROMPT")
    with connect(server, ca, insecure, tenant) as client:
        replier = Replier(client, program, readouts, color, options)
        if conversation:
            _converse(replier, raw)
            return
        said = sys.stdin.read() if prompt is None else prompt
        show = replier.show_json if as_json else replier.show
        show(said if raw else [_user(said)])


def _readouts(
    program: list[Operation], chosen: list[str] | Readouts | None, color: str | None
) -> tuple[list[str] | Readouts | None, str | None]:
    """What is read, with the concept that colours, which has to be among it."""
    if isinstance(chosen, Readouts):
        return chosen, color
    names = [operation.name for operation in program] if chosen is None else chosen
    names = [*dict.fromkeys([*names, color] if color else names)]
    return (names, color or names[0]) if names else (None, None)


def _is_conversation(prompt: str | None) -> bool:
    return prompt is None and sys.stdin.isatty()


def _converse(replier: Replier, raw: bool) -> None:
    with suppress(ImportError):
        # Gives input() line editing and history, where the platform has it.
        import readline  # noqa: F401
    history: list[Message] = []
    while (line := _ask()) is not None:
        if not line.strip():
            continue
        try:
            result = replier.show(line if raw else [*history, _user(line)])
        except VagusError as error:
            report(error)
        except KeyboardInterrupt:
            typer.echo("(cancelled)", err=True)
        else:
            history += [_user(line), Message(role="assistant", content=result.text)]


def _ask() -> str | None:
    try:
        return input("> ")
    except (EOFError, KeyboardInterrupt):
        return None


def _user(content: str) -> Message:
    return Message(role="user", content=content)
