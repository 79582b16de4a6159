"""Sampling: defaults, ranges, and what the context leaves room for."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus.v1.sampling_pb2 import Sampling
from vagus_server.errors import ApiError
from vagus_server.services.sampling import continuations, of_continuation, sampling_arguments

ROOM, VOCABULARY = 500, 1000


def arguments(room: int = ROOM, **fields: Any) -> dict[str, Any]:
    return sampling_arguments(Sampling(**fields), room, VOCABULARY, "sampling")


def refused_field(**fields: Any) -> str:
    with pytest.raises(ApiError) as caught:
        arguments(**fields)
    return caught.value.metadata["field"]


def test_defaults() -> None:
    assert arguments() == {
        "temperature": 1.0,
        "max_tokens": 256,
        "min_tokens": 0,
        "ignore_eos": False,
        "stop": [],
        "stop_token_ids": [],
    }


def test_every_field_arrives() -> None:
    fields = {
        "temperature": 0.5,
        "top_p": 0.25,
        "top_k": 7,
        "min_p": 0.125,
        "presence_penalty": -1.5,
        "frequency_penalty": 1.5,
        "repetition_penalty": 1.25,
        "seed": 11,
        "max_tokens": 20,
        "min_tokens": 3,
        "ignore_eos": True,
        "stop": ["a", "b"],
        "stop_token_ids": [4, 5],
        "logprobs": 2,
    }
    named = {field.name for field in Sampling.DESCRIPTOR.fields} - {"n", "structure"}
    assert set(fields) == named, "a field of the API is not tested"
    assert arguments(**fields, n=1) == fields


def test_zero_is_a_value_like_any_other() -> None:
    zeros = {"temperature": 0.0, "top_k": 0, "min_p": 0.0, "seed": 0, "logprobs": 0}
    got = arguments(**zeros)
    assert {name: got[name] for name in zeros} == zeros


RANGES = {
    "temperature": (0.0, 2.0),
    "top_p": (2**-149, 1.0),
    "min_p": (0.0, 1.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
    "repetition_penalty": (2**-149, 2.0),
}


@pytest.mark.parametrize("name", RANGES)
def test_ranges_hold_their_ends(name: str) -> None:
    for end in RANGES[name]:
        assert arguments(**{name: end})[name] == end


@pytest.mark.parametrize("name", RANGES)
@examples
@given(value=st.floats(width=32))
def test_a_value_is_taken_or_refused_by_its_range(name: str, value: float) -> None:
    lowest, highest = RANGES[name]
    if lowest <= value <= highest:
        assert arguments(**{name: value})[name] == value
    else:
        assert refused_field(**{name: value}) == f"sampling.{name}"


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    assert refused_field(**{name: value}) == f"sampling.{name}"


@pytest.mark.parametrize(
    ("room", "wanted", "least", "expected"),
    [
        (500, 20, 5, (20, 5)),
        (10, 20, 5, (10, 5)),
        (10, 20, 15, (10, 10)),
        (10, 2**32 - 1, 2**32 - 1, (10, 10)),
        (1, 1, 1, (1, 1)),
        (100, None, 50, (100, 50)),
        (300, None, 256, (256, 256)),
    ],
)
def test_lengths_are_cut_to_the_context(
    room: int, wanted: int | None, least: int, expected: tuple[int, int]
) -> None:
    fields = {"min_tokens": least} | ({} if wanted is None else {"max_tokens": wanted})
    got = arguments(room, **fields)
    assert (got["max_tokens"], got["min_tokens"]) == expected


def test_top_k_is_cut_to_the_vocabulary() -> None:
    assert arguments(top_k=2**32 - 1)["top_k"] == VOCABULARY


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"seed": 2**63}, "seed"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 4, "min_tokens": 5}, "min_tokens"),
        ({"min_tokens": 257}, "min_tokens"),
        ({"logprobs": 21}, "logprobs"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"stop": ["x", ""]}, "stop[1]"),
        ({"stop": ["x" * 257]}, "stop[0]"),
        ({"stop_token_ids": range(65)}, "stop_token_ids"),
        ({"stop_token_ids": [999, 1000]}, "stop_token_ids[1]"),
    ],
)
def test_refusals_name_the_field(fields: dict[str, Any], field: str) -> None:
    assert refused_field(**fields) == f"sampling.{field}"


def test_the_ends_of_the_other_ranges_are_taken() -> None:
    got = arguments(
        seed=2**63 - 1,
        logprobs=20,
        stop=["é" * 256] * 16,
        stop_token_ids=[VOCABULARY - 1] * 64,
    )
    assert (got["seed"], got["logprobs"]) == (2**63 - 1, 20)
    assert (len(got["stop"]), len(got["stop_token_ids"])) == (16, 64)


def test_continuations() -> None:
    assert [continuations(Sampling(), "s"), continuations(Sampling(n=16), "s")] == [1, 16]
    assert continuations(Sampling(n=1, temperature=0), "s") == 1
    for fields in ({"n": 0}, {"n": 17}, {"n": 2, "temperature": 0.0}):
        with pytest.raises(ApiError) as caught:
            continuations(Sampling(**fields), "s")
        assert caught.value.metadata["field"] == "s.n"


def test_each_continuation_has_a_seed_of_its_own() -> None:
    given = arguments(seed=2**63 - 1)
    assert [of_continuation(given, i)["seed"] for i in (0, 1)] == [2**63 - 1, 0]
    assert "seed" not in of_continuation(arguments(), 3)
