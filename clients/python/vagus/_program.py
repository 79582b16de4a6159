"""From operations to the wire."""

from vagus import _operation as op
from vagus._scope import scope_message
from vagus._vectors import Vectors
from vagus.v1 import steering_pb2 as pb

_UNITS: dict[str, pb.StrengthUnit] = {
    "residual": pb.STRENGTH_UNIT_RESIDUAL,
    "vector": pb.STRENGTH_UNIT_VECTOR,
    "absolute": pb.STRENGTH_UNIT_ABSOLUTE,
}


def program_message(program: op.Program | None) -> pb.Program | None:
    """The proto form of a program; None when there is nothing to do.

    Raises:
        ValueError: A unit, token set or role is unknown.
    """
    if not program:
        return None
    return pb.Program(operations=map(_operation_message, program))


def _operation_message(operation: op.Operation) -> pb.Operation:
    message = pb.Operation(
        concept=operation.name,
        inline=_inline_message(operation.concept),
        sites=operation.sites,
        scope=scope_message(operation.scope),
        gate=_gate_message(operation.gate),
        envelope=_envelope_message(operation.envelope),
    )
    match operation.action:
        case op.Add(strength, unit):
            message.add.CopyFrom(pb.Add(strength=strength, unit=_unit_value(unit)))
        case op.Ablate(share):
            message.ablate.CopyFrom(pb.Ablate(share=share))
        case op.Set(value, unit):
            message.set.CopyFrom(pb.Set(value=value, unit=_unit_value(unit)))
        case op.Clamp(lower, upper, unit):
            message.clamp.CopyFrom(pb.Clamp(lower=lower, upper=upper, unit=_unit_value(unit)))
    return message


def _inline_message(concept: str | Vectors) -> pb.InlineVectors | None:
    return None if isinstance(concept, str) else concept.message()


def _unit_value(unit: str) -> pb.StrengthUnit:
    if unit not in _UNITS:
        raise ValueError(f"unknown unit {unit!r}; use one of {', '.join(_UNITS)}")
    return _UNITS[unit]


def _gate_message(gate: op.Gate | None) -> pb.Gate | None:
    if gate is None:
        return None
    return pb.Gate(
        concept=gate.concept,
        site=gate.site,
        at_least=gate.at_least,
        at_most=gate.at_most,
        z_score=gate.z_score,
    )


def _envelope_message(envelope: op.Envelope | None) -> pb.Envelope | None:
    if envelope is None:
        return None
    return pb.Envelope(ramp_tokens=envelope.ramp_tokens, half_life_tokens=envelope.half_life_tokens)
