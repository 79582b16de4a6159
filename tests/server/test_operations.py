"""Actions, gates and envelopes: from the request's words to what the device does."""

from typing import Any

import pytest

from support.calls import ABSOLUTE, RESIDUAL, VECTOR
from support.small_pack import NORMS, small_pack, small_registry
from vagus.v1 import steering_pb2 as pb
from vagus_kernels.layout import ABLATE, CLAMP, SET
from vagus_server.concepts.vectors import Vectors
from vagus_server.errors import ApiError
from vagus_server.steering.program import Envelope, Gate, Operation
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

PACK = small_pack()
INF, NAN = float("inf"), float("nan")
ADD = pb.Add(strength=0.1, unit=RESIDUAL)


def resolve(max_dose: float = 2.0, **fields: Any) -> Operation:
    message = pb.Operation(concept="sad", **({"sites": (1, 3)} | fields))
    resolver = Resolver(small_registry(PACK), max_operations=8, max_dose=max_dose)
    program = resolver.resolve(pb.Program(operations=[message]), PromptMap(10), "program")
    return program.operations[0]


def refused(max_dose: float = 2.0, **fields: Any) -> tuple[str, str]:
    """Reason, and the field after the operation."""
    with pytest.raises(ApiError) as caught:
        resolve(max_dose, **fields)
    field = caught.value.metadata["field"].removeprefix("program.operations[0].")
    return caught.value.reason, field


def test_ablation() -> None:
    whole, part = resolve(ablate=pb.Ablate()), resolve(ablate=pb.Ablate(share=0.25))
    assert (whole.action, whole.a, whole.doses) == (ABLATE, (1.0, 1.0), (0.0, 0.0))
    assert part.a == (0.25, 0.25)
    for share in (-0.1, 1.5, NAN, INF):
        assert refused(ablate=pb.Ablate(share=share)) == ("FIELD_INVALID", "ablate.share")


def test_setting() -> None:
    operation = resolve(set=pb.Set(value=-0.5, unit=RESIDUAL))
    assert (operation.action, operation.a) == (SET, (-0.5 * NORMS[1], -0.5 * NORMS[3]))
    assert operation.doses == (-0.5, -0.5)
    assert resolve(set=pb.Set(value=3, unit=ABSOLUTE)).a == (3.0, 3.0)
    assert refused(set=pb.Set(value=NAN, unit=RESIDUAL)) == ("FIELD_INVALID", "set.value")
    assert refused(set=pb.Set(value=1)) == ("FIELD_INVALID", "set.unit")
    assert refused(set=pb.Set(value=1.5, unit=RESIDUAL))[0] == "DOSE_OVER_LIMIT"


def test_clamping() -> None:
    both = resolve(clamp=pb.Clamp(lower=-0.5, upper=0.25, unit=RESIDUAL))
    assert both.action == CLAMP
    assert both.a == (-0.5 * NORMS[1], -0.5 * NORMS[3])
    assert both.b == (0.25 * NORMS[1], 0.25 * NORMS[3])
    above = resolve(clamp=pb.Clamp(lower=1, unit=VECTOR))
    assert above.a == tuple(PACK.vector_norm("sad", site) for site in (1, 3))
    assert above.b == (INF, INF)
    assert resolve(clamp=pb.Clamp(upper=1, unit=ABSOLUTE)).a == (-INF, -INF)


BAD_CLAMPS = [
    (pb.Clamp(unit=RESIDUAL), "clamp"),
    (pb.Clamp(lower=2, upper=1, unit=ABSOLUTE), "clamp.lower"),
    (pb.Clamp(lower=INF, unit=ABSOLUTE), "clamp.lower"),
    (pb.Clamp(upper=NAN, unit=ABSOLUTE), "clamp.upper"),
]


@pytest.mark.parametrize(("clamp", "field"), BAD_CLAMPS, ids=str)
def test_clamps_that_make_no_sense_are_refused(clamp: pb.Clamp, field: str) -> None:
    assert refused(clamp=clamp) == ("FIELD_INVALID", field)


@pytest.mark.parametrize(
    ("lower", "upper", "dose"),
    [(-0.5, 0.5, 0.0), (0.5, None, 0.5), (None, -0.5, 0.5), (0.3, 0.9, 0.3), (None, 9.0, 0.0)],
)
def test_a_clamps_dose_is_what_it_can_force(
    lower: float | None, upper: float | None, dose: float
) -> None:
    """A bound on the far side of zero pushes there; any other only holds back."""
    clamp = pb.Clamp(lower=lower, upper=upper, unit=RESIDUAL)
    assert resolve(clamp=clamp).doses == pytest.approx((dose, dose))


def test_gates() -> None:
    inline = resolve(add=ADD, gate=pb.Gate(concept="calm", at_least=1, at_most=2)).gate
    assert inline == Gate("calm", Vectors.of(PACK.vectors[0]), None, 1.0, 2.0)
    stored = resolve(add=ADD, gate=pb.Gate(concept="calm", site=0, at_most=-1)).gate
    assert stored is not None
    assert (stored.site, stored.lower, stored.upper) == (0, -INF, -1.0)
    assert resolve(add=ADD, gate=pb.Gate(concept="sad", site=1, at_least=0)).gate is not None


def test_gates_in_z_scores() -> None:
    gate = resolve(add=ADD, gate=pb.Gate(concept="calm", site=0, at_least=2, z_score=True)).gate
    assert gate is not None
    i = PACK.index["calm"]
    mean, deviation = PACK.reference_mean[i, 0], PACK.reference_std[i, 0]
    assert gate.lower == pytest.approx(mean + 2 * deviation)
    assert gate.upper == INF
    one_site = resolve(sites=(3,), add=ADD, gate=pb.Gate(concept="calm", at_most=0, z_score=True))
    assert one_site.gate is not None
    assert one_site.gate.upper == pytest.approx(PACK.reference_mean[i, 3])


BAD_GATES = [
    (pb.Gate(at_least=1), "FIELD_INVALID", "gate.concept"),
    (pb.Gate(concept="clam", at_least=1), "CONCEPT_NOT_FOUND", "gate.concept"),
    (pb.Gate(concept="calm"), "FIELD_INVALID", "gate"),
    (pb.Gate(concept="calm", at_least=NAN), "FIELD_INVALID", "gate.at_least"),
    (pb.Gate(concept="calm", at_most=INF), "FIELD_INVALID", "gate.at_most"),
    (pb.Gate(concept="calm", at_least=2, at_most=1), "FIELD_INVALID", "gate.at_least"),
    (pb.Gate(concept="calm", site=2, at_least=1), "FIELD_INVALID", "gate.site"),
    (pb.Gate(concept="calm", site=9, at_least=1), "SITE_OUT_OF_RANGE", "gate.site"),
    (pb.Gate(concept="calm", at_least=1, z_score=True), "FIELD_INVALID", "gate.z_score"),
]


@pytest.mark.parametrize(("gate", "reason", "field"), BAD_GATES, ids=str)
def test_gates_that_make_no_sense_are_refused(gate: pb.Gate, reason: str, field: str) -> None:
    assert refused(add=ADD, gate=gate) == (reason, field)


def test_envelopes() -> None:
    both = resolve(add=ADD, envelope=pb.Envelope(ramp_tokens=8, half_life_tokens=2.5)).envelope
    assert both == Envelope(10, 8.0, 2.5), "counted from the prompt's end"
    assert resolve(add=ADD, envelope=pb.Envelope(ramp_tokens=1)).envelope == Envelope(10, 1.0, 0.0)


@pytest.mark.parametrize(
    ("envelope", "field"),
    [
        (pb.Envelope(), "envelope"),
        (pb.Envelope(ramp_tokens=0), "envelope.ramp_tokens"),
        (pb.Envelope(ramp_tokens=2**31), "envelope.ramp_tokens"),
        (pb.Envelope(half_life_tokens=0), "envelope.half_life_tokens"),
        (pb.Envelope(half_life_tokens=NAN), "envelope.half_life_tokens"),
        (pb.Envelope(half_life_tokens=-1), "envelope.half_life_tokens"),
    ],
    ids=str,
)
def test_envelopes_that_make_no_sense_are_refused(envelope: pb.Envelope, field: str) -> None:
    assert refused(add=ADD, envelope=envelope) == ("FIELD_INVALID", field)
