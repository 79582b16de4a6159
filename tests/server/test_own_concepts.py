"""Programs on concepts that are not the pack's: who finds them, and what they mean."""

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support.calls import ABSOLUTE, RESIDUAL, VECTOR, add
from support.programs import operation
from support.refusals import CATALOGUE
from support.small_pack import HIDDEN, NORMS, SITES, small_pack, small_registry
from vagus.v1 import readout_pb2
from vagus.v1 import steering_pb2 as pb
from vagus_server.concepts.concept import Concept, Reference
from vagus_server.concepts.store import Stored
from vagus_server.concepts.vectors import Vectors
from vagus_server.engine import engine as engine_module
from vagus_server.engine.engine import Engine
from vagus_server.errors import ApiError
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import Order
from vagus_server.readouts.selection import resolve_selection
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

PACK = small_pack()
ROWS = np.random.default_rng(9).normal(size=(SITES, HIDDEN)).astype(np.float16)


def covering(*sites: int) -> Vectors:
    array = np.zeros_like(ROWS)
    array[list(sites)] = ROWS[list(sites)]
    return Vectors.of(array)


MINE = Concept("mine", covering(1, 3), {3: Reference(0.5, 2.0)}, created="2026-11-24T00:00:00Z")
#: As if the pack had come to have a "sad" after this one was uploaded.
OLD = Concept("sad", covering(0, 1, 2, 3), created="2026-11-24T00:00:00Z")
REGISTRY = small_registry(PACK, stored=[Stored("acme", MINE), Stored("acme", OLD)])
RESOLVER = Resolver(REGISTRY, max_operations=8, max_dose=100.0)


def resolve(*operations: pb.Operation, tenant: str = "acme") -> Program:
    return RESOLVER.resolve(pb.Program(operations=operations), PromptMap(10), "program", tenant)


def refusal(operation: pb.Operation, tenant: str = "acme") -> tuple[str, str]:
    """Reason, and the field after the operation."""
    with pytest.raises(ApiError) as caught:
        resolve(operation, tenant=tenant)
    error = caught.value
    assert error.code.name == CATALOGUE[error.reason][0]
    return error.reason, error.metadata["field"].removeprefix("program.operations[0].")


def inline(*sites: int, **fields: Any) -> pb.Operation:
    listed = [{"site": site, "values": ROWS[site].tolist()} for site in sites]
    return pb.Operation(inline={"vectors": listed}, add=pb.Add(strength=0.5, unit=VECTOR), **fields)


def test_a_tenant_finds_its_own_and_nobody_elses() -> None:
    (found,) = resolve(add("mine", 0.1)).operations
    assert (found.concept, found.vectors, found.sites) == ("mine", MINE.vectors, (1,))
    for tenant in ("", "other"):
        assert refusal(add("mine", 0.1), tenant) == ("CONCEPT_NOT_FOUND", "concept")
    with pytest.raises(ApiError) as caught:
        resolve(add("mien", 0.1))
    assert caught.value.metadata["nearest"] == "mine"


def test_a_name_keeps_its_meaning_when_the_pack_comes_to_have_it() -> None:
    theirs, packs = (resolve(add("sad", 0.1), tenant=t).operations[0] for t in ("acme", ""))
    assert theirs.vectors == OLD.vectors
    assert packs.vectors == Vectors.of(PACK.vectors[PACK.index["sad"]])
    selection = readout_pb2.ReadoutSelection(generation=True, names={"names": ["calm", "sad"]})
    own = REGISTRY.own("acme")
    with pytest.raises(ApiError) as caught:
        resolve_selection(selection, PACK, (2,), "readouts", own)
    assert caught.value.reason == "NOT_IMPLEMENTED"
    assert caught.value.metadata["field"] == "readouts.names.names[1]"
    assert resolve_selection(selection, PACK, (2,), "readouts", REGISTRY.own("")).concepts == (0, 3)


@pytest.mark.parametrize("unit", [RESIDUAL, VECTOR, ABSOLUTE])
def test_units(unit: int) -> None:
    scales = {
        RESIDUAL: (NORMS[1], NORMS[3]),
        VECTOR: tuple(np.linalg.norm(ROWS[s].astype(np.float64)) for s in (1, 3)),
        ABSOLUTE: (1.0, 1.0),
    }
    for one in (add("mine", 0.5, (1, 3), unit), inline(1, 3, sites=(1, 3))):
        one.add.unit = unit
        (found,) = resolve(one).operations
        assert found.a == pytest.approx([0.5 * scale for scale in scales[unit]])
        assert found.doses == pytest.approx([a / NORMS[s] for a, s in zip(found.a, (1, 3))])  # noqa: B905


def test_sites_without_a_vector_are_refused() -> None:
    assert refusal(add("mine", 0.1, (1, 2))) == ("SITE_NOT_COVERED", "sites")
    assert refusal(inline(0, 2)) == ("SITE_NOT_COVERED", "sites"), "the pack's steering site is 1"
    assert resolve(inline(0, 2, sites=(2,)))
    for gate in ({"site": 0}, {}):
        one = add("calm", 0.1, (1, 2))
        one.gate.CopyFrom(pb.Gate(concept="mine", at_least=0, **gate))
        assert refusal(one) == ("SITE_NOT_COVERED", "gate.site")


def test_gates_in_z_scores_need_a_reference() -> None:
    one = add("calm", 0.1, (3,))
    one.gate.CopyFrom(pb.Gate(concept="mine", at_least=1, at_most=2, z_score=True))
    (found,) = resolve(one).operations
    assert found.gate is not None
    assert (found.gate.lower, found.gate.upper) == (2.5, 4.5)
    one.gate.site = 1
    assert refusal(one) == ("FIELD_INVALID", "gate.z_score")
    one.gate.z_score = False
    assert resolve(one).operations[0].gate.lower == 1


def test_a_name_and_vectors_exclude_each_other() -> None:
    assert refusal(inline(1, concept="mine")) == ("FIELD_INVALID", "inline")
    assert refusal(pb.Operation(add=pb.Add(strength=1, unit=VECTOR))) == (
        "FIELD_INVALID",
        "concept",
    )
    past = inline(1)
    past.inline.vectors.add(site=SITES, values=[1.0] * HIDDEN)
    assert refusal(past) == ("SITE_OUT_OF_RANGE", "inline.vectors[1]")


def test_equal_contents_make_equal_programs_whatever_they_are_called() -> None:
    named, brought = resolve(add("mine", 0.5, (1, 3), VECTOR)), resolve(inline(1, 3, sites=(1, 3)))
    assert named.operations[0].concept != brought.operations[0].concept
    assert named.digest == brought.digest
    assert named.tables_digest == brought.tables_digest
    assert named.tables_digest != resolve(inline(1, 2, 3, sites=(1, 3))).tables_digest


CONFIG = PluginConfig(SITES, HIDDEN, (2,), len(PACK.names))


def test_a_worker_knows_which_rows_its_requests_refer_to() -> None:
    batch = Batch(CONFIG, np.zeros((SITES, 9)), 64)
    one = add("calm", 0.1, (1,))
    one.gate.CopyFrom(pb.Gate(concept="mine", at_least=0))
    program = resolve(one)
    rows = dict(zip(program.contents, (5, 7), strict=True))
    batch.roster.add("a", Order(program.order_operations(rows), program.tables_digest))
    plain = Program((operation(1),))
    batch.roster.add("b", Order(plain.order_operations({"c" * 64: 5}), plain.tables_digest))
    batch.roster.add("c", Order())

    def referred() -> list[int]:
        return [row for row in range(9) if batch.roster.refers_to(row)]

    assert referred() == [5, 7]
    batch.roster.pause("a")  # it will be back
    assert referred() == [5, 7]
    batch.roster.finish("a")
    assert referred() == [5]
    batch.roster.finish("b")
    assert referred() == []


class Workers:
    """Two ranks that refuse to write for some calls, as those that still run a request do."""

    def __init__(self, refusals: int) -> None:
        self.calls: list[tuple[str, Any]] = []
        self._refusals = refusals
        self.engine_core = None

    async def collective_rpc(self, method: str, args: Any) -> list[bool]:
        self.calls.append((method, args))
        return [True, len(self.calls) > self._refusals]


def test_a_row_that_a_worker_still_uses_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "_PUT_SECONDS", 0)
    monkeypatch.setattr(engine_module, "_PUT_ATTEMPTS", 5)
    exceptions = SimpleNamespace(EngineDeadError=type("EngineDeadError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.exceptions", exceptions)
    workers = Workers(refusals=3)
    engine = Engine(workers, CONFIG, PACK)
    row = asyncio.run(engine.bank.acquire(MINE.vectors))
    assert workers.calls == [("vagus_put_vectors", (row, MINE.vectors.tobytes()))] * 4
    engine = Engine(Workers(refusals=99), CONFIG, PACK)
    with pytest.raises(RuntimeError, match="never came free"):
        asyncio.run(engine.bank.acquire(MINE.vectors))
    assert engine.bank.rows.used == 0
