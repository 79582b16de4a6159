"""Fields that the API does not have: each refused by its path, and in bounded work."""

import pytest
from google.protobuf.message import Message

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import prompt_pb2, sampling_pb2, steering_pb2
from vagus_server.errors import ApiError
from vagus_server.services import unknown
from vagus_server.services.unknown import check_known

#: Field 15 as a varint, which no message of the API has.
UNKNOWN = b"\x78\x01"


def strange(kind: type[Message]) -> Message:
    """A message of this kind with nothing but an unknown field."""
    return kind.FromString(UNKNOWN)


def request(**spec: object) -> pb.GenerateRequest:
    return pb.GenerateRequest(spec=pb.GenerationSpec(**spec))


def chat(*messages: prompt_pb2.ChatMessage) -> prompt_pb2.Prompt:
    return prompt_pb2.Prompt(chat=prompt_pb2.Chat(messages=messages))


def refusal(message: Message) -> dict[str, str]:
    with pytest.raises(ApiError) as caught:
        check_known(message)
    assert caught.value.reason == "NOT_IMPLEMENTED"
    return caught.value.metadata


GOOD_TURN = prompt_pb2.ChatMessage(role=prompt_pb2.ROLE_USER, content="Hi")
LONG = prompt_pb2.Prompt(token_ids=prompt_pb2.TokenIds(ids=range(1000)))
FULL = sampling_pb2.Sampling(temperature=0.5, seed=2**63, max_tokens=3, stop=["a", "b"])


def test_known_fields_pass() -> None:
    scope = steering_pb2.Scope(include=[steering_pb2.ScopeRule()] * 3)
    operation = steering_pb2.Operation(concept="calm", sites=[1, 2], scope=scope)
    program = steering_pb2.Program(operations=[operation])
    for prompt in (LONG, chat(GOOD_TURN, GOOD_TURN)):
        message = request(prompt=prompt, sampling=FULL, program=program)
        before = message.SerializeToString()
        check_known(message)
        assert message.SerializeToString() == before
    check_known(pb.GenerateRequest())


@pytest.mark.parametrize(
    ("message", "field", "feature"),
    [
        (strange(pb.GenerateRequest), "request", "field 15 of GenerateRequest"),
        (
            request(prompt=LONG, sampling=sampling_pb2.Sampling.FromString(b"\xa0\x06\x01")),
            "spec.sampling",
            "field 100 of Sampling",
        ),
        (
            request(
                prompt=chat(GOOD_TURN, GOOD_TURN, strange(prompt_pb2.ChatMessage), GOOD_TURN),
            ),
            "spec.prompt.chat.messages[2]",
            "field 15 of ChatMessage",
        ),
        (
            # A number that the message has, in a form that it does not.
            request(prompt=prompt_pb2.Prompt.FromString(b"\x08\x01")),
            "spec.prompt",
            "field 1 of Prompt",
        ),
    ],
)
def test_the_first_unknown_field_is_named(message: Message, field: str, feature: str) -> None:
    assert refusal(message) == {"field": field, "feature": feature}


class Counting(unknown.Finder):
    """Notes how many fields are looked at."""

    looked = 0

    def _varint(self, at: int) -> tuple[int, int]:
        Counting.looked += 1
        return super()._varint(at)


@pytest.fixture(autouse=True)
def looked(monkeypatch: pytest.MonkeyPatch) -> type[Counting]:
    monkeypatch.setattr(unknown, "Finder", Counting)
    Counting.looked = 0
    return Counting


def rules(count: int) -> bytes:
    """A scope of so many empty rules."""
    return b"\x0a\x00" * count


def test_a_message_of_many_parts_is_not_walked(looked: type[Counting]) -> None:
    scope = steering_pb2.Scope.FromString(rules(100_000))
    operation = steering_pb2.Operation(scope=scope)
    check_known(request(program=steering_pb2.Program(operations=[operation])))
    assert looked.looked == 0


def test_an_unknown_field_is_looked_for_among_so_many_and_no_more(looked: type[Counting]) -> None:
    scope = steering_pb2.Scope.FromString(rules(100_000) + UNKNOWN)
    operation = steering_pb2.Operation(scope=scope)
    found = refusal(request(program=steering_pb2.Program(operations=[operation])))
    assert found == {"field": "request", "feature": "a field after the first 10000"}
    assert looked.looked <= 2 * unknown.MOST_FIELDS, "a tag and a length each"


def test_millions_of_unknown_fields_are_one_look(looked: type[Counting]) -> None:
    message = model_pb.GetModelRequest.FromString(UNKNOWN * 1_000_000)
    assert refusal(message) == {"field": "request", "feature": "field 15 of GetModelRequest"}
    assert looked.looked == 1
