"""A concept's own limit: the dose at which the text was measured to fall apart."""

import grpc
import msgspec
import pytest

from support.small_pack import small_pack, small_registry
from vagus.v1 import steering_pb2 as pb
from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

RESIDUAL = pb.STRENGTH_UNIT_RESIDUAL


def limited_pack() -> Pack:
    """calm falls apart at 0.4 at site 1 and at 0.2 at site 3; no other concept was measured."""
    pack = small_pack()
    concepts = [
        msgspec.structs.replace(c, collapse_dose={1: 0.4, 3: 0.2}) if c.name == "calm" else c
        for c in pack.manifest.concepts
    ]
    pack.manifest = msgspec.structs.replace(pack.manifest, concepts=concepts)
    return pack


def resolve(*strengths: tuple[str, float, int]) -> Program:
    resolver = Resolver(small_registry(limited_pack()), max_operations=8, max_dose=1.0)
    operations = [
        pb.Operation(concept=concept, sites=[site], add=pb.Add(strength=strength, unit=RESIDUAL))
        for concept, strength, site in strengths
    ]
    return resolver.resolve(pb.Program(operations=operations), PROMPT, "program")


PROMPT = PromptMap(4)


@pytest.mark.parametrize(
    "strengths",
    [
        [("calm", 0.39, 1)],
        [("calm", 0.3, 1), ("calm", 0.1, 3)],  # each site by itself
        [("calm", 0.5, 2)],  # not measured there
        [("sad", 0.9, 1)],
    ],
)
def test_below_the_collapse_dose_is_served(strengths: list[tuple[str, float, int]]) -> None:
    assert len(resolve(*strengths).operations) == len(strengths)


@pytest.mark.parametrize(
    ("strengths", "dose", "site", "limit"),
    [
        ([("calm", 0.4, 1)], "0.4", "1", "0.4"),
        ([("calm", -0.4, 1)], "0.4", "1", "0.4"),
        ([("calm", 0.25, 1), ("sad", 0.1, 1), ("calm", 0.25, 1)], "0.5", "1", "0.4"),
        ([("calm", 0.1, 1), ("calm", 0.3, 3)], "0.3", "3", "0.2"),
    ],
)
def test_the_refusal_names_the_concepts_limit(
    strengths: list[tuple[str, float, int]], dose: str, site: str, limit: str
) -> None:
    with pytest.raises(ApiError) as caught:
        resolve(*strengths)
    error = caught.value
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DOSE_OVER_LIMIT")
    assert error.metadata == {
        "field": "program",
        "dose": dose,
        "limit": limit,
        "concept": "calm",
        "site": site,
    }
    assert f"below {limit}" in error.message


def test_the_servers_own_limit_still_holds() -> None:
    with pytest.raises(ApiError) as caught:
        resolve(("sad", 1.1, 1))
    assert "concept" not in caught.value.metadata
