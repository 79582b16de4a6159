"""Programs: what their digest depends on, and what separates prefix caches."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.wire import NO_END
from vagus_server.steering.program import (
    ALL,
    GENERATION,
    PROMPT,
    Operation,
    Program,
    cache_salt,
)

CALM = Operation(
    concept="calm",
    concept_digest="c" * 64,
    vector=1,
    sites=(3, 7),
    lengths=(1.5, -2.0),
    doses=(0.1, -0.2),
    phases=ALL,
)
SAD = replace(CALM, concept="sad", concept_digest="5" * 64, vector=2, sites=(5,), lengths=(1.0,))
BASE = Program((CALM, SAD))


def test_equal_programs_have_equal_digests() -> None:
    assert BASE.digest == Program((replace(CALM), replace(SAD))).digest
    assert len(BASE.digest) == 32


def test_names_slots_and_doses_are_not_in_the_digest() -> None:
    """What counts is what the device adds."""
    other = replace(CALM, concept="serene", vector=9, doses=(0.3, -0.6))
    assert Program((other, SAD)).digest == BASE.digest


CHANGES = {
    "vector content": (replace(CALM, concept_digest="d" * 64), SAD),
    "site": (replace(CALM, sites=(3, 8)), SAD),
    "one site less": (replace(CALM, sites=(3,), lengths=(1.5,)), SAD),
    "length": (replace(CALM, lengths=(1.5, -2.0000000000000004)), SAD),
    "sign": (replace(CALM, lengths=(1.5, 2.0)), SAD),
    "lengths swapped": (replace(CALM, lengths=(-2.0, 1.5)), SAD),
    "prompt alone": (replace(CALM, phases=PROMPT), SAD),
    "generation alone": (replace(CALM, phases=GENERATION), SAD),
    "order": (SAD, CALM),
    "one operation less": (CALM,),
    "one operation twice": (CALM, SAD, SAD),
    "nothing": (),
}


@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_what_is_added_changes_the_digest(change: str) -> None:
    assert Program(CHANGES[change]).digest != BASE.digest


def test_one_operation_is_not_the_same_cut_in_two() -> None:
    first = replace(CALM, sites=(3,), lengths=(1.5,))
    second = replace(CALM, sites=(7,), lengths=(-2.0,))
    assert Program((first, second)).digest != Program((CALM,)).digest


OPERATIONS = st.builds(
    lambda vector, places, phases: Operation(
        concept="x",
        concept_digest=vector * 64,
        vector=1,
        sites=tuple(places),
        lengths=tuple(places.values()),
        doses=(0.0,) * len(places),
        phases=phases,
    ),
    st.sampled_from("ab"),
    st.dictionaries(st.integers(0, 2), st.sampled_from([0.5, 1.0]), min_size=1, max_size=2),
    st.sampled_from([PROMPT, GENERATION, ALL]),
)
PROGRAMS = st.lists(OPERATIONS, max_size=3).map(lambda operations: Program(tuple(operations)))


@examples
@given(PROGRAMS, PROGRAMS)
def test_digests_are_equal_exactly_when_programs_are(a: Program, b: Program) -> None:
    assert (a.digest == b.digest) == (a == b)


def test_salts_separate_programs_and_tenants() -> None:
    programs = [Program(), BASE, Program((CALM,)), Program((SAD,))]
    tenants = ["", "a", "b", "ab", BASE.digest.hex()]
    salts = [cache_salt(p, t) for p, t in product(programs, tenants)]
    assert len(set(salts)) == len(programs) * len(tenants)


def test_only_plain_requests_without_a_tenant_have_no_salt() -> None:
    assert cache_salt(Program(), "") is None
    for salt in (cache_salt(BASE, ""), cache_salt(Program(), "a"), cache_salt(BASE, "a")):
        assert salt


def test_scopes_are_ranges_of_positions() -> None:
    scopes = {ALL: ((0, NO_END),), PROMPT: ((0, 9),), GENERATION: ((9, NO_END),)}
    for phases, ranges in scopes.items():
        assert replace(CALM, phases=phases).scope(9) == ranges


def test_dose_sums_magnitudes_over_operations_and_sites() -> None:
    assert Program((CALM, replace(SAD, doses=(-0.5,)))).dose == pytest.approx(0.1 + 0.2 + 0.5)
    assert Program().dose == 0
    assert not Program()
    assert BASE


def test_the_device_gets_the_operations_in_order() -> None:
    first, second = BASE.order_operations(4)
    assert (first.vector, first.sites, first.a, first.b) == (1, (3, 7), (1.5, -2.0), (0.0, 0.0))
    assert (second.vector, second.sites, second.a) == (2, (5,), (1.0,))
    assert first.kind == second.kind == 1
