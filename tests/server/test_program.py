"""Programs: what their digests depend on, and what separates tenants' caches."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from support.programs import operation, vectors
from vagus_kernels.layout import ABLATE, ADD, CLAMP, SET
from vagus_server.plugin.wire import NO_END, NO_SITE, OrderEnvelope, OrderGate
from vagus_server.steering.program import Envelope, Gate, Operation, Program, cache_salt

GATE = Gate("sad", vectors("5"), 1, 0.5, 2.0)
CALM = operation(3, 7, a=(1.5, -2.0), doses=(0.1, -0.2), gate=GATE, envelope=Envelope(4, 8.0, 0.0))
SAD = operation(5, concept="sad")
BASE = Program((CALM, SAD))


def test_equal_programs_have_equal_digests() -> None:
    same = Program((replace(CALM), replace(SAD)))
    assert BASE.digest == same.digest
    assert BASE.tables_digest == same.tables_digest
    assert len(BASE.digest) == len(BASE.tables_digest) == 32


def test_names_and_doses_are_in_no_digest() -> None:
    """What counts is what the device does."""
    gate = replace(GATE, concept="blue")
    other = replace(CALM, concept="serene", doses=(0.3, -0.6), gate=gate)
    assert Program((other, SAD)).digest == BASE.digest
    assert Program((other, SAD)).tables_digest == BASE.tables_digest


CHANGES = {
    "action": (replace(CALM, action=SET), SAD),
    "vector content": (replace(CALM, vectors=vectors("d")), SAD),
    "site": (replace(CALM, sites=(3, 8)), SAD),
    "one site less": (replace(CALM, sites=(3,), a=(1.5,), b=(0.0,)), SAD),
    "length": (replace(CALM, a=(1.5, -2.0000000000000004)), SAD),
    "sign": (replace(CALM, a=(1.5, 2.0)), SAD),
    "lengths swapped": (replace(CALM, a=(-2.0, 1.5)), SAD),
    "upper bound": (replace(CALM, b=(0.0, 1.0)), SAD),
    "no gate": (replace(CALM, gate=None), SAD),
    "gate's bound": (replace(CALM, gate=replace(GATE, lower=0.25)), SAD),
    "gate's site": (replace(CALM, gate=replace(GATE, site=None)), SAD),
    "gate's vector": (replace(CALM, gate=replace(GATE, vectors=vectors("6"))), SAD),
    "no envelope": (replace(CALM, envelope=None), SAD),
    "another's envelope": (replace(CALM, envelope=None), replace(SAD, envelope=CALM.envelope)),
    "order": (SAD, CALM),
    "one operation less": (CALM,),
    "one operation twice": (CALM, SAD, SAD),
    "nothing": (),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_what_is_done_changes_both_digests(change: str) -> None:
    assert Program(CHANGES[change]).digest != BASE.digest
    assert Program(CHANGES[change]).tables_digest != BASE.tables_digest


@pytest.mark.parametrize(
    "change",
    [{"scope_text": "other"}, {"envelope": Envelope(4, 9.0, 0.0)}],
    ids=str,
)
def test_what_flags_alone_carry_is_not_in_the_tables(change: dict[str, object]) -> None:
    other = Program((replace(CALM, **change), SAD))
    assert other.digest != BASE.digest
    assert other.tables_digest == BASE.tables_digest


def test_one_operation_is_not_the_same_cut_in_two() -> None:
    first, second = operation(3, length=1.5), operation(7, length=-2.0)
    both = operation(3, 7, a=(1.5, -2.0))
    assert Program((first, second)).tables_digest != Program((both,)).tables_digest


OPERATIONS = st.builds(
    lambda vector, places, scope, action: operation(
        *places,
        concept=vector,
        a=tuple(places.values()),
        doses=(0.0,) * len(places),
        scope=scope,
        action=action,
    ),
    st.sampled_from("ab"),
    st.dictionaries(st.integers(0, 2), st.sampled_from([0.5, 1.0]), min_size=1, max_size=2),
    st.sampled_from([((0, 4),), ((4, NO_END),)]),
    st.sampled_from([ADD, ABLATE, SET, CLAMP]),
)
PROGRAMS = st.lists(OPERATIONS, max_size=3).map(lambda operations: Program(tuple(operations)))


@examples
@given(PROGRAMS, PROGRAMS)
def test_digests_are_equal_exactly_when_programs_are(a: Program, b: Program) -> None:
    assert (a.digest == b.digest) == (a == b)

    def everywhere(program: Program) -> list[Operation]:
        return [replace(o, scope=(), scope_text="") for o in program.operations]

    assert (a.tables_digest == b.tables_digest) == (everywhere(a) == everywhere(b))


def test_salts_separate_tenants() -> None:
    salts = [cache_salt(tenant) for tenant in ("", "a", "b", "ab")]
    assert len(set(salts)) == 4
    assert salts[0] is None


def test_dose_sums_magnitudes_over_operations_and_sites() -> None:
    assert Program((CALM, replace(SAD, doses=(-0.5,)))).dose == pytest.approx(0.1 + 0.2 + 0.5)
    assert Program().dose == 0
    assert not Program()
    assert BASE


def test_the_device_gets_the_operations_in_order() -> None:
    row_of = {"c" * 64: 7, "s" * 64: 2, "5" * 64: 4}
    assert BASE.contents.keys() == row_of.keys()
    first, second = BASE.order_operations(row_of)
    assert (first.kind, first.vector, first.sites, first.a) == (ADD, 7, (3, 7), (1.5, -2.0))
    assert first.gate == OrderGate(4, 1, 0.5, 2.0)
    assert first.envelope == OrderEnvelope(4, 8.0, 0.0)
    assert (second.vector, second.sites, second.gate, second.envelope) == (2, (5,), None, None)
    inline = replace(CALM, gate=replace(GATE, site=None)).order(row_of)
    assert inline.gate == OrderGate(4, NO_SITE, 0.5, 2.0)


def test_which_operations_move_every_token_alike() -> None:
    assert SAD.constant
    assert not CALM.constant
    assert not replace(SAD, action=SET).constant
