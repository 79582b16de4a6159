"""`vagus concepts`: what can be read and steered; uploads and deletes the tenant's own."""

from pathlib import Path
from typing import Annotated

import typer

from vagus._constants import DEFAULT_TARGET
from vagus._vectors import UploadOptions
from vagus.cli._color import colored
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect
from vagus.cli._json import message_json, print_json
from vagus.cli._output import console, table
from vagus.cli._steer import parse_sites
from vagus.v1.concept_service_pb2 import CONCEPT_ORIGIN_UPLOADED, Concept

app = typer.Typer(invoke_without_command=True)


@app.callback()
def concepts(
    context: typer.Context,
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """List the concepts of the served pack and one's own; upload and delete those."""
    if context.invoked_subcommand is not None:
        return
    with connect(server, ca, insecure, tenant) as client:
        found = client.concepts()
    if as_json:
        print_json([message_json(concept) for concept in found])
        return
    listed = table("concept", "description", "sites", "top-1", "top-5", "origin")
    for concept in found:
        listed.add_row(*(colored(cell, None) for cell in _cells(concept)))
    console().print(listed)


@app.command()
def upload(
    file: Annotated[
        Path,
        typer.Argument(
            help="safetensors file with one tensor [sites, hidden]: float16, float32 or bfloat16."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the concept; not one of the pack's.")],
    description: Annotated[str, typer.Option(help="What it stands for.")] = "",
    sites: Annotated[
        str, typer.Option(help="Site of each row, like 15 or 10-12,15. Default: all, in order.")
    ] = "",
    pack: Annotated[str, typer.Option(help="Name or digest of the served pack, to be sure.")] = "",
    replace: Annotated[bool, typer.Option("--replace", help="Replace one's own.")] = False,
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """Upload a concept of one's own, which can then be steered."""
    options: UploadOptions = {
        "description": description,
        "sites": parse_sites(sites),
        "pack": pack,
        "replace": replace,
    }
    try:
        data = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error
    with connect(server, ca, insecure, tenant) as client:
        answer = client.concepts.upload(name, data, **options)
    if as_json:
        print_json(message_json(answer))
        return
    typer.echo(f"{name}: usable at {len(answer.sites)} sites · digest {answer.digest[:12]}")


@app.command()
def delete(
    name: Annotated[str, typer.Argument(help="Name of the concept.")],
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """Delete a concept of one's own; requests that use it go on."""
    with connect(server, ca, insecure, tenant) as client:
        client.concepts.delete(name)


def _cells(concept: Concept) -> tuple[str, ...]:
    sites = [site.site for site in concept.sites]
    return (
        concept.name,
        concept.description,
        f"{min(sites)}-{max(sites)}" if len(sites) > 1 else ",".join(map(str, sites)),
        f"{concept.held_out_top1:.0%}" if concept.HasField("held_out_top1") else "",
        f"{concept.held_out_top5:.0%}" if concept.HasField("held_out_top5") else "",
        "uploaded" if concept.origin == CONCEPT_ORIGIN_UPLOADED else concept.pack,
    )
