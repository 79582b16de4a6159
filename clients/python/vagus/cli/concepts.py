"""`vagus concepts`: what can be read and steered."""

from vagus._constants import DEFAULT_TARGET
from vagus.cli._color import colored
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect
from vagus.cli._json import message_json, print_json
from vagus.cli._output import console, table
from vagus.v1.concept_service_pb2 import Concept


def concepts(
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """List the concepts of the served pack."""
    with connect(server, ca, insecure, tenant) as client:
        found = client.concepts()
    if as_json:
        print_json([message_json(concept) for concept in found])
        return
    listed = table("concept", "description", "sites", "top-1", "top-5")
    for concept in found:
        listed.add_row(*(colored(cell, None) for cell in _cells(concept)))
    console().print(listed)


def _cells(concept: Concept) -> tuple[str, ...]:
    sites = [site.site for site in concept.sites]
    return (
        concept.name,
        concept.description,
        f"{min(sites)}-{max(sites)}" if len(sites) > 1 else ",".join(map(str, sites)),
        f"{concept.held_out_top1:.0%}" if concept.HasField("held_out_top1") else "",
        f"{concept.held_out_top5:.0%}" if concept.HasField("held_out_top5") else "",
    )
