"""`vagus health`: for supervisors, which need an exit code and no key."""

from typing import Annotated

import typer

from vagus._constants import DEFAULT_TARGET
from vagus.cli._connection import Ca, Insecure, Server, connect


def health(
    service: Annotated[str, typer.Argument(help="One service; default: the server.")] = "",
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
) -> None:
    """Print the health of a server, by the standard service; exit with 1 unless it is SERVING."""
    with connect(server, ca, insecure, tenant="") as client:
        status = client.health(service, timeout=5)
    typer.echo(status)
    raise typer.Exit(0 if status == "SERVING" else 1)
