"""`vagus-server keys`."""

import datetime
from pathlib import Path
from typing import Annotated

import typer

from vagus_server.access.keys import Keys, KeysError, new_key
from vagus_server.access.scopes import Scope

app = typer.Typer(help="API keys.", no_args_is_help=True)


@app.command()
def new(
    tenant: Annotated[str, typer.Option(help="Whose key it is.")],
    scope: Annotated[
        str, typer.Option(help=f"What it may do, comma-separated: {', '.join(Scope)}.")
    ] = f"{Scope.GENERATE},{Scope.READ}",
    days: Annotated[
        int | None, typer.Option(min=1, help="Days until it expires; default: never.")
    ] = None,
) -> None:
    """Makes a key. It is shown once, on standard error; its entry goes to standard output.

    Append the entry to the file of `serve --keys`: a running server takes it up by itself.
    """
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    expires = None if days is None else now + datetime.timedelta(days=days)
    try:
        scopes = [Scope(name) for name in scope.split(",")]
        key, entry = new_key(tenant, scopes, expires)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    typer.echo(f"{key}\n", err=True)
    typer.echo(entry)


@app.command()
def check(file: Annotated[Path, typer.Argument(help="File of keys.")]) -> None:
    """Says whether a file of keys can be used, and what is wrong if it cannot."""
    try:
        Keys(file)
    except KeysError as error:
        typer.echo(f"vagus-server: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{file} can be used")
