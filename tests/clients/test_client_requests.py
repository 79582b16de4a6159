"""Request building: every option reaches its field."""

import math

import pytest
from google.protobuf.json_format import MessageToDict

from vagus import (
    Characters,
    Chat,
    Envelope,
    Gate,
    Generated,
    Positions,
    Readouts,
    SamplingOptions,
    Scope,
    Turns,
    ablate,
    add,
    clamp,
    set_,
)
from vagus._program import program_message
from vagus._prompt import prompt_message, prompt_messages
from vagus._request import GenerateOptions, generation_spec, read_request
from vagus._sampling import sampling_message
from vagus._selection import selection_message
from vagus.v1.generation_service_pb2 import GenerationSpec
from vagus.v1.readout_pb2 import ReadoutSelection
from vagus.v1.sampling_pb2 import Choices, Sampling, Structure

USER = {"role": "user", "content": "Hi"}
USER_PROTO = {"role": "ROLE_USER", "content": "Hi"}


def as_dict(message: object) -> dict[str, object]:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("Hi", {"text": "Hi"}),
        ("", {"text": ""}),
        ([5, 0], {"token_ids": {"ids": [5, 0]}}),
        ([], {"token_ids": {}}),
        ([USER], {"chat": {"messages": [USER_PROTO]}}),
        (Chat([USER]), {"chat": {"messages": [USER_PROTO]}}),
        (
            Chat([USER], add_generation_prompt=False),
            {"chat": {"messages": [USER_PROTO], "add_generation_prompt": False}},
        ),
    ],
)
def test_prompts(prompt: object, expected: object) -> None:
    assert as_dict(prompt_message(prompt)) == expected


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
def test_roles(role: str) -> None:
    message = prompt_message([{"role": role, "content": ""}])
    assert as_dict(message)["chat"] == {"messages": [{"role": f"ROLE_{role.upper()}"}]}


@pytest.mark.parametrize(
    ("inputs", "kinds"),
    [
        ("Hi", ["text"]),
        (["Hi", "Ho"], ["text", "text"]),
        ([1, 2], ["token_ids"]),
        ([[1, 2], [3]], ["token_ids", "token_ids"]),
        ([USER], ["chat"]),
        ([[USER], Chat([USER]), "Hi"], ["chat", "chat", "text"]),
        ([], []),
    ],
)
def test_one_text_or_several(inputs: object, kinds: list[str]) -> None:
    assert [each.WhichOneof("input") for each in prompt_messages(inputs)] == kinds


@pytest.mark.parametrize("prompt", [None, 3, ["a"], [1.5]])
def test_what_is_no_prompt_is_a_type_error(prompt: object) -> None:
    with pytest.raises(TypeError):
        prompt_message(prompt)


def test_unknown_names_are_value_errors() -> None:
    for program in (
        [add("calm", 1, unit="kg")],
        [add("calm", 1, scope="some")],
        [add("calm", 1, scope=Turns("narrator"))],
    ):
        with pytest.raises(ValueError, match="unknown"):
            program_message(program)


def test_sampling_options_are_the_protos_fields() -> None:
    fields = {field.name for field in Sampling.DESCRIPTOR.fields} - {"structure"}
    forms = {field.name for field in Structure.DESCRIPTOR.fields}
    assert SamplingOptions.__annotations__.keys() == fields | forms
    spec = {field.name for field in GenerationSpec.DESCRIPTOR.fields}
    own = GenerateOptions.__annotations__.keys() - fields - forms
    assert own | {"prompt", "sampling", "program", "readouts"} == spec


@pytest.mark.parametrize(
    ("options", "structure"),
    [
        ({"json_schema": {"type": "null"}}, Structure(json_schema='{"type": "null"}')),
        ({"json_schema": '{"type":"null"}'}, Structure(json_schema='{"type":"null"}')),
        ({"regex": "a+"}, Structure(regex="a+")),
        ({"choices": ["yes", "no"]}, Structure(choices=Choices(texts=["yes", "no"]))),
    ],
)
def test_structures(options: SamplingOptions, structure: Structure) -> None:
    assert sampling_message(options) == Sampling(structure=structure)


def test_a_text_has_one_structure() -> None:
    with pytest.raises(ValueError, match="json_schema, regex"):
        sampling_message({"regex": "a", "json_schema": "{}"})


def test_sampling_keeps_zero_apart_from_unset() -> None:
    assert sampling_message({}) is None
    zeros = sampling_message({"temperature": 0, "logprobs": 0, "seed": 0, "ignore_eos": False})
    assert as_dict(zeros) == {"temperature": 0, "logprobs": 0, "seed": "0", "ignore_eos": False}


def test_stop_may_be_one_string() -> None:
    assert list(sampling_message({"stop": "END"}).stop) == ["END"]
    assert list(sampling_message({"stop": ["a", "b"]}).stop) == ["a", "b"]


def test_unknown_options_are_type_errors() -> None:
    with pytest.raises(TypeError, match="unknown option temprature"):
        generation_spec("Hi", None, None, {"temprature": 1})


def test_a_spec_has_every_part() -> None:
    options = {"model": "m", "pack": "p", "request_id": "r", "policies": ["q"], "max_tokens": 9}
    spec = generation_spec("Hi", [add("calm", 0.5)], ["calm"], options)
    assert as_dict(spec) == {
        "model": "m",
        "pack": "p",
        "request_id": "r",
        "policies": ["q"],
        "prompt": {"text": "Hi"},
        "sampling": {"max_tokens": 9},
        "program": {
            "operations": [
                {"concept": "calm", "add": {"strength": 0.5, "unit": "STRENGTH_UNIT_RESIDUAL"}}
            ]
        },
        "readouts": {"names": {"names": ["calm"]}, "generation": True},
    }


def test_policies_may_be_one_name() -> None:
    assert list(generation_spec("Hi", None, None, {"policies": "calm-down"}).policies) == [
        "calm-down"
    ]


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        (
            add("c", -2, "vector", 15),
            {"sites": [15], "add": {"strength": -2, "unit": "STRENGTH_UNIT_VECTOR"}},
        ),
        (ablate("c"), {"ablate": {}}),
        (ablate("c", 0.5, [1, 2]), {"sites": [1, 2], "ablate": {"share": 0.5}}),
        (
            set_("c", 3, "absolute"),
            {"set": {"value": 3, "unit": "STRENGTH_UNIT_ABSOLUTE"}},
        ),
        (
            clamp("c", lower=0),
            {"clamp": {"lower": 0, "unit": "STRENGTH_UNIT_RESIDUAL"}},
        ),
        (
            clamp("c", upper=1, gate=Gate("g", at_least=2, at_most=3, site=4, z_score=True)),
            {
                "clamp": {"upper": 1, "unit": "STRENGTH_UNIT_RESIDUAL"},
                "gate": {"concept": "g", "at_least": 2, "at_most": 3, "site": 4, "z_score": True},
            },
        ),
        (
            ablate("c", envelope=Envelope(ramp_tokens=0, half_life_tokens=2.5)),
            {"ablate": {}, "envelope": {"ramp_tokens": 0, "half_life_tokens": 2.5}},
        ),
    ],
)
def test_operations(operation: object, expected: dict[str, object]) -> None:
    [message] = program_message([operation]).operations
    assert as_dict(message) == {"concept": "c", **expected}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("all", None),
        ("prompt", {"include": [{"phase": "PHASE_PROMPT"}]}),
        ("generation", {"include": [{"phase": "PHASE_GENERATION"}]}),
        ("last_prompt_token", {"include": [{"last_prompt_token": True}]}),
        (Positions(-3, 0), {"include": [{"positions": {"start": -3, "end": 0}}]}),
        (Characters(end=9), {"include": [{"characters": {"end": 9}}]}),
        (Generated(2), {"include": [{"generated": {"start": 2}}]}),
        (Turns("assistant"), {"include": [{"role": "ROLE_ASSISTANT"}]}),
        (
            Scope(include=["all"], exclude=[Turns("system"), Generated(0, 4)]),
            {
                "include": [{"phase": "PHASE_ALL"}],
                "except": [{"role": "ROLE_SYSTEM"}, {"generated": {"start": 0, "end": 4}}],
            },
        ),
    ],
)
def test_scopes(scope: object, expected: object) -> None:
    [operation] = program_message([ablate("c", scope=scope)]).operations
    assert as_dict(operation).get("scope") == expected


def test_an_empty_program_is_none() -> None:
    assert program_message(None) is None
    assert program_message([]) is None


def test_strengths_that_are_not_finite_reach_the_server_which_refuses_them() -> None:
    [operation] = program_message([add("c", math.inf)]).operations
    assert math.isinf(operation.add.strength)


@pytest.mark.parametrize(
    ("readouts", "expected"),
    [
        (["calm"], {"names": {"names": ["calm"]}, "generation": True}),
        ("calm", {"names": {"names": ["calm"]}, "generation": True}),
        (5, {"top_k": 5, "generation": True}),
        (Readouts(), {"generation": True}),
        (Readouts(last_prompt_token=True), {"last_prompt_token": True}),
    ],
)
def test_readouts(readouts: object, expected: object) -> None:
    assert as_dict(selection_message(readouts, default_tokens="generation")) == expected


def test_readouts_have_every_field() -> None:
    names = {field.name for field in ReadoutSelection.DESCRIPTOR.fields} - {"names", "top_k"}
    flags = dict.fromkeys(names - {"sites"}, True)
    message = selection_message(Readouts(["c"], [3, 4], **flags), default_tokens="generation")
    assert as_dict(message) == {"names": {"names": ["c"]}, "sites": [3, 4], **flags}


def test_readouts_may_not_be_a_bool() -> None:
    with pytest.raises(TypeError):
        selection_message(True, default_tokens="generation")


def test_read_requests_read_the_prompt() -> None:
    assert as_dict(read_request("Hi", ["calm"], [ablate("calm")], "m")) == {
        "model": "m",
        "inputs": [{"text": "Hi"}],
        "readouts": {"names": {"names": ["calm"]}, "prompt": True},
        "program": {"operations": [{"concept": "calm", "ablate": {}}]},
    }
    assert as_dict(read_request("Hi", None, None, "")) == {"inputs": [{"text": "Hi"}]}
    scored = read_request("Hi", None, None, "", logprobs=True)
    assert as_dict(scored) == {"inputs": [{"text": "Hi"}], "logprobs": True}
