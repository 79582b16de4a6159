"""Scopes: sets of positions, and how the request's rules become them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from support.small_pack import small_pack, small_registry
from vagus.v1 import prompt_pb2, steering_pb2
from vagus_server.errors import ApiError
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.rules import MAX_RANGES, MAX_RULES, resolve_scope
from vagus_server.steering.scope import PromptMap, joined, positions_within, without

USER, ASSISTANT, SYSTEM = prompt_pb2.ROLE_USER, prompt_pb2.ROLE_ASSISTANT, prompt_pb2.ROLE_SYSTEM
#: "ab cde": tokens "ab", " c", "de"; a special token in front has no characters.
SPANS = [(0, 0), (0, 2), (2, 4), (4, 6)]
TEXT = PromptMap(4, True, lambda: SPANS)
CHAT = PromptMap(4, False, lambda: SPANS, lambda: [(USER, 0, 2), (ASSISTANT, 3, 4), (USER, 4, 6)])
IDS = PromptMap(4)


def rule(**fields: Any) -> steering_pb2.ScopeRule:
    for name in ("positions", "characters", "generated"):
        if name in fields:
            start, end = fields[name]
            fields[name] = steering_pb2.Range(start=start, end=end)
    return steering_pb2.ScopeRule(**fields)


def resolve(
    *include: steering_pb2.ScopeRule,
    prompt: PromptMap = TEXT,
    excepted: tuple[steering_pb2.ScopeRule, ...] = (),
) -> tuple[Range, ...]:
    message = steering_pb2.Scope(include=include, **{"except": excepted})
    return resolve_scope(message, prompt, "scope")[0]


RULES: list[tuple[dict[str, Any], tuple[Range, ...]]] = [
    ({"phase": steering_pb2.PHASE_PROMPT}, ((0, 4),)),
    ({"phase": steering_pb2.PHASE_GENERATION}, ((4, NO_END),)),
    ({"phase": steering_pb2.PHASE_ALL}, ((0, NO_END),)),
    ({"positions": (1, 3)}, ((1, 3),)),
    ({"positions": (None, 3)}, ((0, 3),)),
    ({"positions": (1, None)}, ((1, NO_END),)),
    ({"positions": (-2, None)}, ((2, NO_END),)),
    ({"positions": (-3, -1)}, ((1, 3),)),
    ({"positions": (-9, 2)}, ((0, 2),)),
    ({"positions": (1, -1)}, ((1, 3),)),
    ({"positions": (3, -2)}, ()),
    ({"positions": (2, 90)}, ((2, 90),)),
    ({"characters": (0, 1)}, ((1, 2),)),
    ({"characters": (1, 3)}, ((1, 3),)),
    ({"characters": (3, None)}, ((2, 4),)),
    ({"characters": (None, 6)}, ((1, 4),)),
    ({"generated": (0, 2)}, ((4, 6),)),
    ({"generated": (3, None)}, ((7, NO_END),)),
    ({"generated": (1, NO_END)}, ((5, NO_END),)),
    ({"generated": (NO_END, None)}, ()),
    ({"last_prompt_token": True}, ((3, 4),)),
]


@pytest.mark.parametrize(("fields", "expected"), RULES, ids=str)
def test_one_rule(fields: dict[str, Any], expected: tuple[Range, ...]) -> None:
    assert resolve(rule(**fields)) == expected


def test_turns_by_role() -> None:
    assert resolve(rule(role=USER), prompt=CHAT) == ((1, 2), (3, 4))
    assert resolve(rule(role=ASSISTANT), prompt=CHAT) == ((2, 3), (4, NO_END)), "and the reply"
    assert resolve(rule(role=SYSTEM), prompt=CHAT) == ()


def test_unions_and_exceptions() -> None:
    first, last = rule(positions=(0, 1)), rule(last_prompt_token=True)
    assert resolve(first, last) == ((0, 1), (3, 4))
    assert resolve(first, rule(phase=steering_pb2.PHASE_PROMPT)) == ((0, 4),)
    assert resolve(excepted=(first, last)) == ((1, 3), (4, NO_END))
    assert resolve(first, excepted=(first,)) == ()


def test_equal_rules_have_equal_texts_in_any_order() -> None:
    a, b = rule(positions=(0, 1)), rule(last_prompt_token=True)

    def text(*rules: steering_pb2.ScopeRule, prompt: PromptMap = TEXT) -> str:
        return resolve_scope(steering_pb2.Scope(include=rules), prompt, "scope")[1]

    assert text(a, b) == text(b, a) == text(a, b, prompt=PromptMap(9))
    assert text(a) != text(b) != text(a, b)
    assert text(a, b, a) == text(a, b), "they name the same tokens"


BAD: dict[str, tuple[dict[str, Any], PromptMap, str]] = {
    "no rule": ({}, TEXT, "scope.include[0].rule"),
    "no phase": ({"phase": 0}, TEXT, "scope.include[0].phase"),
    "empty range": ({"positions": (3, 3)}, TEXT, "scope.include[0].positions"),
    "backwards from the end": ({"positions": (-1, -2)}, TEXT, "scope.include[0].positions"),
    "characters of ids": ({"characters": (0, 1)}, IDS, "scope.include[0].characters"),
    "characters of a chat": ({"characters": (0, 1)}, CHAT, "scope.include[0].characters"),
    "negative characters": ({"characters": (-1, 1)}, TEXT, "scope.include[0].characters.start"),
    "characters past the end": ({"characters": (0, 7)}, TEXT, "scope.include[0].characters"),
    "role in a text": ({"role": USER}, TEXT, "scope.include[0].role"),
    "no role": ({"role": 0}, CHAT, "scope.include[0].role"),
    "unknown role": ({"role": 9}, CHAT, "scope.include[0].role"),
    "negative generated": ({"generated": (0, -1)}, TEXT, "scope.include[0].generated.end"),
    "nothing generated": ({"generated": (2, 1)}, TEXT, "scope.include[0].generated"),
    "last token false": ({"last_prompt_token": False}, TEXT, "scope.include[0].last_prompt_token"),
}


@pytest.mark.parametrize("what", BAD)
def test_rules_that_make_no_sense_are_refused(what: str) -> None:
    fields, prompt, field = BAD[what]
    with pytest.raises(ApiError) as caught:
        resolve(rule(**fields), prompt=prompt)
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"] == field


@pytest.mark.parametrize("name", ["include", "except"])
def test_more_rules_than_a_pass_should_look_at_are_refused(name: str) -> None:
    rules = [rule(positions=(2 * i, 2 * i + 1)) for i in range(MAX_RULES + 1)]
    resolve_scope(steering_pb2.Scope(**{name: rules[1:]}), TEXT, "scope")
    with pytest.raises(ApiError) as caught:
        resolve_scope(steering_pb2.Scope(**{name: rules}), TEXT, "scope")
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata["field"] == f"scope.{name}"


class Counting:
    """A chat of so many messages of one token each, and how often it was asked for."""

    def __init__(self, messages: int) -> None:
        self.asked = 0
        self._spans = [(2 * i, 2 * i + 1) for i in range(messages)]
        self._turns = [(USER, *span) for span in self._spans]
        # Between two messages is a token of the template's.
        spans = [(i, i + 1) for i in range(2 * messages)]
        self.map = PromptMap(len(spans), False, lambda: spans, self._told)

    def _told(self) -> list[tuple[int, int, int]]:
        self.asked += 1
        return self._turns


def program(operations: int, **scope: Any) -> steering_pb2.Program:
    message = steering_pb2.Scope(**scope)
    add = steering_pb2.Add(strength=0.01, unit=steering_pb2.STRENGTH_UNIT_RESIDUAL)
    one = steering_pb2.Operation(concept="calm", add=add, scope=message)
    return steering_pb2.Program(operations=[one] * operations)


def test_a_role_is_looked_for_once_however_often_it_is_named() -> None:
    chat, rules = Counting(100), [rule(role=USER)] * MAX_RULES
    resolver = Resolver(small_registry(small_pack()), max_operations=8, max_dose=1.0)
    message = program(8, include=rules, **{"except": [rule(last_prompt_token=True)] * MAX_RULES})
    found = resolver.resolve(message, chat.map, "program")
    assert [len(operation.scope) for operation in found.operations] == [100] * 8
    assert chat.asked == 1


def test_a_program_names_only_so_many_ranges() -> None:
    resolver = Resolver(small_registry(small_pack()), max_operations=8, max_dose=1.0)
    usual = program(8, include=[rule(role=USER)])
    most = Counting(MAX_RANGES // 8)
    assert len(resolver.resolve(usual, most.map, "program").operations) == 8
    more = Counting(MAX_RANGES // 8 + 1)
    with pytest.raises(ApiError) as caught:
        resolver.resolve(usual, more.map, "program")
    assert caught.value.metadata == {
        "field": "program.operations[7].scope.include[0]",
        "value": str(MAX_RANGES + 8),
        "limit": str(MAX_RANGES),
    }
    # What is taken away again was looked at as well.
    nothing = program(8, include=[rule(role=USER)], **{"except": [rule(role=USER)]})
    with pytest.raises(ApiError) as caught:
        resolver.resolve(nothing, most.map, "program")
    assert caught.value.metadata["field"] == "program.operations[4].scope.include[0]"


SPANNED = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=8).map(
    lambda some: [(start, start + length) for start, length in some]
)
CUTS = st.lists(st.integers(0, 12), max_size=6).map(sorted)


@examples
@given(SPANNED | SPANNED.map(sorted), CUTS, st.integers(0, 12), st.integers(0, 12))
def test_tokens_of_characters_and_turns(
    spans: list[tuple[int, int]], cuts: list[int], start: int, length: int
) -> None:
    """Whatever order a tokenizer's spans have: empty ones and those of special tokens too."""

    def covered(first: int, last: int) -> set[int]:
        return {i for i, (a, b) in enumerate(spans) if a < last and first < b}

    turns = [(USER, a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False)]
    prompt = PromptMap(len(spans), True, lambda: spans, lambda: turns)
    for result, expected in (
        (prompt.covering(start, start + length), covered(start, start + length)),
        (prompt.spoken(USER), set().union(*(covered(a, b) for _, a, b in turns))),
    ):
        assert result is not None
        assert members(list(result)) == expected
        assert all(a[1] < b[0] for a, b in pairwise(result))
    assert prompt.spoken(SYSTEM) == ()


RANGES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=5)


def members(ranges: list[Range]) -> set[int]:
    return {p for start, end in ranges for p in range(start, end)}


@examples
@given(RANGES, RANGES)
def test_sets_of_positions(ranges: list[Range], holes: list[Range]) -> None:
    for result, expected in (
        (joined(ranges), members(ranges)),
        (without(ranges, holes), members(ranges) - members(holes)),
    ):
        assert members(result) == expected
        assert all(a[1] < b[0] for a, b in pairwise(result))
        assert all(start < end for start, end in result)


@examples
@given(RANGES.map(joined), st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14))))
def test_positions_within(ranges: list[Range], windows: list[Range]) -> None:
    starts, ends = np.array(windows, dtype=np.int64).reshape(-1, 2).T
    counted = positions_within(ranges, starts, ends)
    assert counted.tolist() == [len(members(ranges) & set(range(*w))) for w in windows]
