"""The options that say which server is meant, and the connection to it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from vagus._client import Client
from vagus._constants import CERTIFICATE_VARIABLE, PRIVATE_KEY_VARIABLE
from vagus._errors import VagusError

Server: TypeAlias = Annotated[
    str, typer.Option("--server", envvar="VAGUS_SERVER", help="Server, as host:port.")
]
Ca: TypeAlias = Annotated[
    Path | None, typer.Option("--ca", envvar="VAGUS_CA", help="PEM file of trusted certificates.")
]
Insecure: TypeAlias = Annotated[
    bool, typer.Option("--insecure", help="Talk plaintext to another machine.")
]
Tenant: TypeAlias = Annotated[
    str, typer.Option("--tenant", envvar="VAGUS_TENANT", help="Whose requests these are.")
]
Json: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def connect(server: str, ca: Path | None, insecure: bool, tenant: str) -> Iterator[Client]:
    """A client; errors of its calls are reported and end the program.

    The API key comes from the environment alone (`Client` takes it from there): everybody on a
    machine can read its command lines. So do the files of a client's own certificate.

    Raises:
        typer.BadParameter: The options contradict each other.
        typer.Exit: A call failed.
    """
    try:
        client = Client(
            server,
            ca=ca,
            insecure=insecure,
            tenant=tenant,
            certificate=os.environ.get(CERTIFICATE_VARIABLE) or None,
            private_key=os.environ.get(PRIVATE_KEY_VARIABLE) or None,
        )
    except (ValueError, OSError) as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with client:
            yield client
    except VagusError as error:
        report(error)
        raise typer.Exit(1) from error


def report(error: VagusError) -> None:
    """Print an error on one line."""
    line = " ".join(str(error).split())
    nearest = error.metadata.get("nearest")
    typer.echo(f"error: {line}" + (f" (did you mean {nearest}?)" if nearest else ""), err=True)
