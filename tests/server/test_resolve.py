"""Programs resolved against a pack: units, sites, scopes and the dose limit."""

import hashlib
import math

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.calls import ABSOLUTE, RESIDUAL, VECTOR, add
from support.examples import examples
from support.small_pack import NORMS, small_pack, small_registry
from vagus.v1 import steering_pb2 as pb
from vagus_server.errors import ApiError
from vagus_server.plugin.wire import NO_END
from vagus_server.steering.program import Operation, Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

PACK = small_pack()


def resolve(*operations: pb.Operation, max_dose: float = 2.0) -> Program:
    resolver = Resolver(small_registry(PACK), max_operations=8, max_dose=max_dose)
    return resolver.resolve(pb.Program(operations=operations), PromptMap(10), "program")


def refusal(*operations: pb.Operation, max_dose: float = 2.0) -> ApiError:
    with pytest.raises(ApiError) as caught:
        resolve(*operations, max_dose=max_dose)
    return caught.value


def one(operation: pb.Operation) -> Operation:
    (resolved,) = resolve(operation).operations
    return resolved


def norm(concept: str, site: int) -> float:
    return float(np.linalg.norm(PACK.vectors[PACK.index[concept], site].astype(np.float64)))


def test_residual_strengths_are_shares_of_the_mean_residual_norm() -> None:
    resolved = one(add("sad", 0.25, (0, 3), RESIDUAL))
    assert resolved.a == (0.25 * NORMS[0], 0.25 * NORMS[3])
    assert resolved.doses == (0.25, 0.25)


def test_vector_strengths_are_multiples_of_the_vector() -> None:
    resolved = one(add("sad", -0.5, (0, 3), VECTOR))
    assert resolved.a == pytest.approx([-0.5 * norm("sad", s) for s in (0, 3)])
    assert resolved.doses == pytest.approx([-0.5 * norm("sad", s) / NORMS[s] for s in (0, 3)])


def test_absolute_strengths_are_lengths() -> None:
    resolved = one(add("sad", 1.5, (0, 3), ABSOLUTE))
    assert resolved.a == (1.5, 1.5)
    assert resolved.doses == (1.5 / NORMS[0], 1.5 / NORMS[3])


def test_an_operation_knows_its_concept_vector_and_contents() -> None:
    resolved = one(add("happy", 0.1))
    data = PACK.vectors[PACK.index["happy"]].astype("<f2").tobytes()
    assert resolved.concept == "happy"
    assert resolved.vectors.digest == hashlib.sha256(data).hexdigest()
    assert resolved.vectors.tobytes() == data
    assert resolved.sites == (PACK.steering_site,), "no sites: the pack's own"
    assert resolved.scope == ((0, NO_END),), "no scope: all tokens"


def test_sites_are_sorted_and_operations_are_not() -> None:
    first, second = resolve(add("sad", 0.1, (3, 0, 2)), add("calm", 0.1)).operations
    assert first.sites == (0, 2, 3)
    assert (first.concept, second.concept) == ("sad", "calm")


def test_nothing_resolves_to_nothing() -> None:
    assert not resolve()


def test_zero_is_a_strength() -> None:
    assert one(add("sad", 0.0)).a == (0.0,)


@pytest.mark.parametrize("sites", range(1, 5))
@pytest.mark.parametrize("limit", [0.1, 0.3, 0.7, 1.0])
def test_the_limit_itself_is_within_the_limit(limit: float, sites: int) -> None:
    """Strengths arrive as float32, which is a little more or less than what was written."""
    strength = limit / (2 * sites)
    operations = [add(concept, strength, tuple(range(sites))) for concept in ("sad", "calm")]
    assert resolve(*operations, max_dose=limit).dose == pytest.approx(limit)
    more = add("happy", 0.001 * limit)
    assert refusal(*operations, more, max_dose=limit).reason == "DOSE_OVER_LIMIT"


@examples
@given(
    st.lists(
        st.tuples(
            st.sampled_from([RESIDUAL, VECTOR, ABSOLUTE]),
            st.floats(-1, 1, width=32),
            st.sets(st.integers(0, 3), min_size=1).map(tuple),
        ),
        max_size=8,
    )
)
def test_a_program_is_within_the_limit_or_refused(
    drawn: list[tuple[int, float, tuple[int, ...]]],
) -> None:
    operations = [add("sad", strength, sites, unit) for unit, strength, sites in drawn]
    whole = resolve(*operations, max_dose=math.inf)
    dose = sum(abs(d) for o in whole.operations for d in o.doses)
    assert whole.dose == dose
    if dose <= 2:
        assert resolve(*operations) == whole
    elif dose > 2.001:
        error = refusal(*operations)
        assert error.code is grpc.StatusCode.INVALID_ARGUMENT
        assert error.metadata == {"field": "program", "dose": f"{dose:.6g}", "limit": "2"}


@pytest.mark.parametrize("strength", [math.nan, math.inf, -math.inf, 1.0001e6, -3e38])
@pytest.mark.parametrize("unit", [RESIDUAL, VECTOR, ABSOLUTE])
def test_strengths_out_of_any_range_never_reach_arithmetic(strength: float, unit: int) -> None:
    error = refusal(add("sad", strength, unit=unit), max_dose=math.inf)
    assert error.reason == "FIELD_INVALID"
    assert error.metadata["field"] == "program.operations[0].add.strength"


def test_the_first_offence_is_the_one_named() -> None:
    error = refusal(add("sad", 0.1), add("saad", 0.1), add("", 0.1))
    assert error.metadata == {
        "field": "program.operations[1].concept",
        "concept": "saad",
        "nearest": "sad",
    }
