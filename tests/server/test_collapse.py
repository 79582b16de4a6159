"""A concept's own limit: the dose at which the text was measured to fall apart."""

import grpc
import msgspec
import numpy as np
import pytest

from support.small_pack import HIDDEN, SITES, small_pack, small_registry
from vagus.v1 import steering_pb2 as pb
from vagus_server.concepts.concept import Concept
from vagus_server.concepts.store import Stored
from vagus_server.concepts.vectors import Vectors
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
PACK = limited_pack()


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


def other_name(cosine: float, seed: int = 3) -> Concept:
    """A concept called "mine" whose directions lie at an angle to those of calm."""
    draw = np.random.default_rng(seed)
    calm = PACK.unit_vectors[PACK.index["calm"]].astype(np.float64)
    aside = draw.normal(size=calm.shape)
    aside -= (aside * calm).sum(axis=1, keepdims=True) * calm
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    rows = 3 * (cosine * calm + (1 - cosine**2) ** 0.5 * aside)
    return Concept("mine", Vectors.of(rows.astype(np.float16)), {}, created="2026-11-24T00:00:00Z")


def operations_of(concept: Concept, strength: float, *, inline: bool) -> pb.Operation:
    """Along a concept at site 1, by its name or as vectors of the request's own."""
    operation = pb.Operation(sites=[1], add=pb.Add(strength=strength, unit=RESIDUAL))
    if inline:
        values = concept.vectors.array[1].astype(float).tolist()
        operation.inline.vectors.add(site=1, values=values)
    else:
        operation.concept = concept.name
    return operation


def resolve_own(mine: Concept, *operations: pb.Operation) -> Program:
    registry = small_registry(PACK, stored=[Stored("acme", mine)])
    resolver = Resolver(registry, max_operations=8, max_dose=1.0)
    return resolver.resolve(pb.Program(operations=operations), PROMPT, "program", "acme")


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("cosine", [1.0, -1.0, 0.995])
def test_the_same_direction_has_the_same_limit_under_any_name(inline: bool, cosine: float) -> None:
    mine = other_name(cosine)
    half = operations_of(mine, 0.2, inline=inline)
    calm = pb.Operation(concept="calm", sites=[1], add=pb.Add(strength=0.2, unit=RESIDUAL))
    for operations in ([operations_of(mine, 0.4, inline=inline)], [half, half], [half, calm]):
        with pytest.raises(ApiError) as caught:
            resolve_own(mine, *operations)
        assert caught.value.metadata["concept"] == "calm"
        assert caught.value.metadata["limit"] == "0.4"
    assert resolve_own(mine, operations_of(mine, 0.39, inline=inline))


@pytest.mark.parametrize("inline", [False, True])
def test_another_direction_is_free(inline: bool) -> None:
    mine = other_name(0.98)
    assert resolve_own(mine, operations_of(mine, 0.9, inline=inline))


def test_an_own_concept_that_only_shares_a_limited_ones_name_is_free() -> None:
    """As if the pack had come to have it after it was uploaded."""
    rows = np.random.default_rng(5).normal(size=(SITES, HIDDEN)).astype(np.float16)
    mine = Concept("calm", Vectors.of(rows), {}, created="2026-11-24T00:00:00Z")
    assert resolve_own(mine, operations_of(mine, 0.9, inline=False))


def test_the_servers_own_limit_still_holds() -> None:
    with pytest.raises(ApiError) as caught:
        resolve(("sad", 1.1, 1))
    assert "concept" not in caught.value.metadata
