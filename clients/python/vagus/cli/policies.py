"""`vagus policies`: by which rules the server watches requests."""

from vagus._constants import DEFAULT_TARGET
from vagus.cli._color import colored, severity_style
from vagus.cli._connection import Ca, Insecure, Json, Server, Tenant, connect
from vagus.cli._json import message_json, print_json
from vagus.cli._output import console, table
from vagus.v1.policy_pb2 import Policy


def policies(
    as_json: Json = False,
    server: Server = DEFAULT_TARGET,
    ca: Ca = None,
    insecure: Insecure = False,
    tenant: Tenant = "",
) -> None:
    """List the server's policies: when they act, what they do, which requests they watch."""
    with connect(server, ca, insecure, tenant) as client:
        found = client.policies()
    if as_json:
        print_json([message_json(policy) for policy in found])
        return
    listed = table("policy", "severity", "begins", "ceases", "does", "watches", "description")
    for policy in found:
        name, severity, *others = (colored(cell, None) for cell in _cells(policy))
        severity.stylize(severity_style(policy.severity))
        listed.add_row(name, severity, *others)
    console().print(listed)


def _cells(policy: Policy) -> tuple[str, ...]:
    trigger = policy.trigger
    begins, ceases = ("<=", ">") if trigger.below else (">=", "<")
    return (
        policy.name,
        policy.severity,
        f"{trigger.concept} {begins} {trigger.begin_z:g}",
        f"{ceases} {trigger.cease_z:g}",
        _action(policy),
        "every request" if policy.every_request else "if named",
        policy.description,
    )


def _action(policy: Policy) -> str:
    if policy.stops:
        return "stops"
    steering = (
        f"{steer.concept} {steer.dose:+g} @{','.join(map(str, steer.sites))}"
        for steer in policy.steering
    )
    return "; ".join(steering) or "tells"
