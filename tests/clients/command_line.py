"""Runs the command line against a scripted server."""

import asyncio

from click.testing import Result
from scripted_server import ScriptedServer
from typer.testing import CliRunner

from vagus.cli import app

TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLORTERM": "truecolor"}


async def invoke(
    server: ScriptedServer | None,
    *arguments: str,
    env: dict[str, str] | None = None,
    said: str = "",
) -> Result:
    environment = {**(env or {}), **({"VAGUS_SERVER": server.target} if server else {})}
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment, input=said)
