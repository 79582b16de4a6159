"""`vagus status`: whether a server is well, and what it serves."""

from collections import Counter
from collections.abc import Iterator

import typer

from vagus._constants import DEFAULT_TARGET
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect
from vagus.cli._json import message_json, print_json
from vagus.cli._output import console, fact_table
from vagus.v1.concept_service_pb2 import Pack
from vagus.v1.model_service_pb2 import Model
from vagus.v1.steering_pb2 import StrengthUnit


def status(
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """Show health, model, packs and runtime; exit with 1 unless the server is serving."""
    with connect(server, ca, insecure, tenant) as client:
        health = client.health()
        model, packs = client.model(), client.packs()
    if as_json:
        packs_json = [message_json(pack) for pack in packs]
        print_json({"health": health, "model": message_json(model), "packs": packs_json})
    else:
        facts = [("server", server), ("health", health), *_model_facts(model)]
        facts += [("pack", _pack_text(pack)) for pack in packs]
        console().print(fact_table(facts))
    raise typer.Exit(0 if health == "SERVING" else 1)


def _model_facts(model: Model) -> Iterator[tuple[str, str]]:
    can, runtime = model.capabilities, model.runtime
    yield (
        "model",
        f"{model.name} ({model.architecture}, {model.sites} sites, width {model.hidden_size}, "
        f"{model.max_model_len} tokens, {model.dtype})",
    )
    units = (StrengthUnit.Name(unit).removeprefix("STRENGTH_UNIT_").lower() for unit in can.units)
    yield "actions", ", ".join(can.actions)
    yield "scopes", ", ".join(can.scope_rules)
    yield "units", ", ".join(units)
    yield (
        "limits",
        f"{can.max_operations} operations a program, dose {can.max_dose:g}, "
        f"{can.max_programs} programs, {can.max_running_requests} requests at once",
    )
    yield (
        "runtime",
        f"vagus {runtime.version}, vLLM {runtime.vllm_version} (runner {runtime.model_runner}), "
        f"{runtime.platform}, compilation {runtime.compilation_mode}",
    )
    installed = Counter(runtime.site_installation).items()
    yield "installed", ", ".join(f"{how} at {count} sites" for how, count in installed)


def _pack_text(pack: Pack) -> str:
    return (
        f"{pack.name} {pack.version} ({pack.concept_count} concepts for {pack.model}; reads site "
        f"{pack.readout_site}, steers site {pack.steering_site}; sha256 {pack.digest[:12]})"
    )
