"""From an operation's action, in the request's units, to what the device adds."""

from typing import NamedTuple

from vagus.v1 import steering_pb2 as pb
from vagus_server.concepts.vectors import Vectors
from vagus_server.errors import invalid
from vagus_server.packs.pack import Pack
from vagus_server.steering.checks import check_number


class Amounts(NamedTuple):
    """Per site: the device's a and b, and the length that the operation adds or can force."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    forced: tuple[float, ...]


_INF = float("inf")


def action_amounts(
    operation: pb.Operation, vectors: Vectors, pack: Pack, sites: tuple[int, ...], field: str
) -> Amounts:
    """Returns the amounts, or raises ApiError with the path of the offending field.

    Args:
        operation: with an action set.
        vectors: the concept's.
        pack: for residual norms.
        sites: where it acts.
        field: path of the action in the request.
    """
    action = operation.WhichOneof("action")
    zeros = (0.0,) * len(sites)
    if action == "ablate":
        share = operation.ablate.share if operation.ablate.HasField("share") else 1.0
        if not 0 <= share <= 1:  # also refuses NaN
            invalid(f"{field}.share", "must be 0 to 1", value=share, limit="0 to 1")
        return Amounts((share,) * len(sites), zeros, zeros)
    message = getattr(operation, str(action))
    scales = _scales(message.unit, vectors, pack, sites, f"{field}.unit")
    if action == "clamp":
        return _clamp(message, scales, field)
    name = "strength" if action == "add" else "value"
    value = check_number(getattr(message, name), f"{field}.{name}")
    amounts = tuple(value * scale for scale in scales)
    return Amounts(amounts, zeros, amounts)


def _clamp(message: pb.Clamp, scales: tuple[float, ...], field: str) -> Amounts:
    lower, upper = -_INF, _INF
    if message.HasField("lower"):
        lower = check_number(message.lower, f"{field}.lower")
    if message.HasField("upper"):
        upper = check_number(message.upper, f"{field}.upper")
    if lower == -_INF and upper == _INF:
        invalid(field, "has no bound: set lower, upper or both")
    if lower > upper:
        invalid(f"{field}.lower", f"is above upper ({upper:g})", value=lower, limit=upper)
    # A bound on the far side of zero pushes the stream there; others only hold it back.
    force = max(lower, -upper, 0.0)
    return Amounts(
        tuple(lower * scale for scale in scales),
        tuple(upper * scale for scale in scales),
        tuple(force * scale for scale in scales),
    )


def _scales(
    unit: int, vectors: Vectors, pack: Pack, sites: tuple[int, ...], field: str
) -> tuple[float, ...]:
    """Length of a strength of 1 at each site."""
    if unit == pb.STRENGTH_UNIT_RESIDUAL:
        return tuple(pack.residual_norms[site] for site in sites)
    if unit == pb.STRENGTH_UNIT_VECTOR:
        return tuple(vectors.norms[site] for site in sites)
    if unit == pb.STRENGTH_UNIT_ABSOLUTE:
        return (1.0,) * len(sites)
    invalid(field, "must be RESIDUAL, VECTOR or ABSOLUTE", value=unit)
