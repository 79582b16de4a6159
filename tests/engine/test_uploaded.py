"""Concepts uploaded to a running server, and inline vectors: as good as the pack's own."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from support.calls import ABSOLUTE, RESIDUAL, VECTOR, add, generate, ids, spec, stream
from support.refusals import NO_CONCEPT, NOT_YET, check, refused
from support.small_server import pack_rows
from support.uploads import concepts, delete, inline, upload
from support.variants import naming
from support.waiting import wait_for
from vagus.v1.concept_service_pb2 import CONCEPT_ORIGIN_PACK, CONCEPT_ORIGIN_UPLOADED
from vagus.v1.steering_pb2 import Gate

pytestmark = pytest.mark.engine

SITES = (10, 15)
PROMPT = "The evening began quietly, and"


@pytest.fixture
def uploaded(server: Any) -> Iterator[str]:
    """The pack's "calm" as the default tenant's own "still"."""
    upload(server.channel, pack_rows("calm"), name="still", description="calm again")
    yield "still"
    if "still" in concepts(server.channel):
        delete(server.channel, "still")


def used(server: Any) -> int:
    return server.app.engine.bank.rows.used


def told(response: Any) -> list[tuple[str, int]]:
    """Digest, and tokens at the first site, of each operation's receipt."""
    return [(o.concept_digest, o.sites[0].tokens) for o in response.finish.receipt.operations]


def test_an_upload_steers_as_the_concept_that_it_equals(server: Any, uploaded: str) -> None:
    assert used(server) == len(server.pack.names), "the same contents share a row"
    own = generate(server.channel, spec(PROMPT, add(uploaded, 0.3, SITES), stop=["xyzzy"]))
    packs = generate(server.channel, spec(PROMPT, add("calm", 0.3, SITES), stop=["xyzzy"]))
    plain = generate(server.channel, spec(PROMPT))
    assert ids(own) == ids(packs) != ids(plain)
    assert told(own) == told(packs)
    assert own.finish.receipt.program_digest == packs.finish.receipt.program_digest
    assert [o.concept for o in own.finish.receipt.operations] == [uploaded]
    listed = concepts(server.channel)
    assert told(own)[0][0] == listed["still"].digest == listed["calm"].digest
    assert listed["still"].origin == CONCEPT_ORIGIN_UPLOADED
    assert listed["still"].description == "calm again"
    assert listed["calm"].origin == CONCEPT_ORIGIN_PACK


def test_an_upload_can_be_a_gate_but_not_be_read(server: Any, uploaded: str) -> None:
    def gated(concept: str) -> Any:
        operation = add("sad", 0.4, (15,))
        operation.gate.CopyFrom(Gate(concept=concept, at_least=0.0))
        response = generate(server.channel, spec(PROMPT, operation))
        return ids(response), response.finish.receipt.operations[0].sites[0].tokens

    assert gated(uploaded) == gated("calm")
    request = naming("calm", uploaded)
    refusal = refused(lambda: generate(server.channel, request))
    check(refusal, NOT_YET, {"field": "spec.readouts.names.names[1]"})


def test_tenants_do_not_see_each_others_concepts(server: Any, uploaded: str) -> None:
    assert uploaded not in concepts(server.channel, "other")
    request = spec(PROMPT, add(uploaded, 0.1))
    refusal = refused(lambda: generate(server.channel, request, tenant="other"))
    check(refusal, NO_CONCEPT, {"concept": uploaded})
    upload(server.channel, pack_rows("sad"), "other", name=uploaded)
    try:
        theirs = concepts(server.channel, "other")[uploaded]
        assert theirs.digest == concepts(server.channel)["sad"].digest
    finally:
        delete(server.channel, uploaded, "other")


@pytest.mark.parametrize("unit", [RESIDUAL, VECTOR, ABSOLUTE])
def test_inline_vectors_steer_as_the_concept_that_they_equal(server: Any, unit: int) -> None:
    strength = {RESIDUAL: 0.3, VECTOR: 0.5, ABSOLUTE: 2.0}[unit]
    rows = pack_rows("desperate")
    own = generate(server.channel, spec(PROMPT, inline(rows, strength, SITES, unit)))
    packs = generate(server.channel, spec(PROMPT, add("desperate", strength, SITES, unit)))
    assert ids(own) == ids(packs)
    (told_own,), (told_packs,) = (r.finish.receipt.operations for r in (own, packs))
    assert told_own.concept == ""
    assert told_own.sites == told_packs.sites
    assert told_own.tokens_in_scope == told_packs.tokens_in_scope
    assert used(server) == len(server.pack.names), "freed at the request's end"


def test_a_concept_can_be_deleted_while_it_steers(server: Any) -> None:
    rows = pack_rows("angry") * np.float16(0.5)
    upload(server.channel, rows, name="cross")
    request = spec(PROMPT, add("cross", 0.3, SITES), max_tokens=40)
    undisturbed = ids(generate(server.channel, request, tenant=""))
    call = stream(server.channel, request)
    messages = [next(call)]
    delete(server.channel, "cross")
    refusal = refused(lambda: generate(server.channel, request))
    check(refusal, NO_CONCEPT, {"concept": "cross"})
    assert used(server) == len(server.pack.names) + 1, "the stream still holds it"
    messages += list(call)
    assert [t.id for m in messages for t in m.tokens] == undisturbed
    (operation,) = messages[-1].finish.receipt.operations
    assert {s.tokens for s in operation.sites} == {operation.tokens_in_scope}
    wait_for(lambda: used(server) == len(server.pack.names), "the row to be free")


def test_a_replaced_concept_is_the_new_one(server: Any, uploaded: str) -> None:
    sad = pack_rows("sad")
    again = refused(lambda: upload(server.channel, sad, name=uploaded))
    assert again.info.reason == "CONCEPT_EXISTS"
    digest = upload(server.channel, sad, name=uploaded, replace=True).digest
    assert concepts(server.channel)[uploaded].digest == digest
    own = generate(server.channel, spec(PROMPT, add(uploaded, 0.3, SITES)))
    assert ids(own) == ids(generate(server.channel, spec(PROMPT, add("sad", 0.3, SITES))))
