"""Calls that are wrong before or beside their message: bytes, metadata, ids and deadlines."""

from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode

from support.calls import add, generate, ids, spec, stream
from support.refusals import BAD, FULL, IN_USE, NOT_YET, check, refused
from support.variants import (
    PROMPT,
    added,
    asking,
    call_bytes,
    chat,
    naming,
    read_text,
    refusals,
    sample,
    steer,
)
from support.waiting import wait_until_idle
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import prompt_pb2
from vagus.v1 import readout_service_pb2 as readout
from vagus.v1 import readout_service_pb2_grpc as readout_grpc
from vagus.v1.prompt_pb2 import Prompt
from vagus.v1.steering_pb2 import Operation

pytestmark = pytest.mark.engine

VOCABULARY, CONTEXT = 49152, 1024
USER, TOOL = prompt_pb2.ROLE_USER, prompt_pb2.ROLE_TOOL

DAMAGED = {
    "overlong UTF-8": b"\xc0\xaf\xc0\xaf",
    "surrogate": b"\xed\xa0\x80z",
    "cut UTF-8": b"abc\xe2",
}
MARKED: dict[str, Message] = {
    "prompt": generation.GenerateRequest(spec=spec("MARK")),
    "concept": generation.GenerateRequest(spec=steer(add("MARK", 0.1))),
    "stop": generation.GenerateRequest(spec=sample(stop=["MARK"])),
    "model": generation.GenerateRequest(spec=asking(model="MARK")),
}


@pytest.mark.parametrize("damage", DAMAGED)
@pytest.mark.parametrize("where", MARKED)
def test_invalid_utf8_is_refused(where: str, damage: str, server: Any) -> None:
    data = MARKED[where].SerializeToString().replace(b"MARK", DAMAGED[damage])
    for method in ("Generation/Generate", "Generation/StreamGenerate"):
        refusal = refused(lambda: call_bytes(server.channel, method, data))  # noqa: B023
        check(refusal, BAD, {"field": ""})


METHODS = [
    "Generation/Generate",
    "Generation/StreamGenerate",
    "Readout/ReadText",
    "Concept/GetConcept",
    "Concept/ListConcepts",
    "Concept/GetPack",
    "Model/GetModel",
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x7f{}", b"\x0b\x0b\x0b", b"\x00"])
def test_damaged_messages_are_refused(method: str, data: bytes, server: Any) -> None:
    check(refused(lambda: call_bytes(server.channel, method, data)), BAD, {"field": ""})


def test_fields_of_a_newer_api_are_refused(server: Any) -> None:
    """Protobuf would drop them in silence, and the program would be another."""
    text = b"\x7a\x04gate"  # field 15: no message of this API has one
    whole = generation.GenerateRequest(spec=added()).SerializeToString() + text
    check(
        refused(lambda: call_bytes(server.channel, "Generation/Generate", whole)),
        NOT_YET,
        {"field": "request", "feature": "field 15 of GenerateRequest"},
    )
    request = readout.ReadTextRequest(inputs=[Prompt(text="Hi")])
    operation = add("calm", 0.1).SerializeToString() + text
    request.program.operations.append(Operation.FromString(operation))
    check(
        refusals(server.channel, request)[0],
        NOT_YET,
        {"field": "program.operations[0]", "feature": "field 15 of Operation"},
    )


def test_what_grpc_itself_refuses(server: Any) -> None:
    """Without our details, but with the right codes."""
    huge = generation.GenerateRequest(spec=spec("x" * (17 << 20))).SerializeToString()
    for method, data, code in (
        ("Generation/Generate", huge, StatusCode.RESOURCE_EXHAUSTED),
        ("Generation/StreamGenerate", huge, StatusCode.RESOURCE_EXHAUSTED),
        ("Generation/Degenerate", b"", StatusCode.UNIMPLEMENTED),
        ("Steering/Steer", b"", StatusCode.UNIMPLEMENTED),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call_bytes(server.channel, method, data)
        assert caught.value.code() is code


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("tenants", [("a b",), ("x" * 129,), ("acme", "other")])
def test_bad_tenants_are_refused(method: str, tenants: tuple[str, ...], server: Any) -> None:
    metadata = [("vagus-tenant", tenant) for tenant in tenants]
    refusal = refused(lambda: call_bytes(server.channel, method, b"", metadata=metadata))
    check(refusal, BAD, {"field": "vagus-tenant"})


def hold(server: Any, request_id: str) -> Any:
    """A stream that runs until it is cancelled."""
    call = stream(server.channel, spec(PROMPT, request_id=request_id, max_tokens=900))
    next(iter(call))
    return call


def test_a_running_requests_id_is_refused(server: Any) -> None:
    held, read = hold(server, "held"), hold(server, "read-1")
    try:
        for refusal in refusals(server.channel, asking(request_id="held")):
            check(refusal, IN_USE, {"request_id": "held"})
            assert refusal.request_id == "held"
        (refusal,) = refusals(server.channel, read_text("Hi", "Ho", request_id="read"))
        check(refusal, IN_USE, {"request_id": "read"})
        other = generate(server.channel, spec(PROMPT, request_id="other", max_tokens=2))
        assert len(ids(other)) == 2
    finally:
        held.cancel()
        read.cancel()
    wait_until_idle(server)
    again = generate(server.channel, spec(PROMPT, request_id="held", max_tokens=2))
    assert len(ids(again)) == 2


def test_a_full_queue_refuses_and_says_when_to_retry(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vagus_server.services.served import Limits

    monkeypatch.setattr(server.app.served, "limits", Limits(max_dose=2.0, max_requests=2))
    held = hold(server, "first")
    try:
        (refusal,) = refusals(server.channel, read_text("Hi", "Ho"))
        check(refusal, FULL, {"limit": "2"})
        retry = error_details_pb2.RetryInfo()
        assert refusal.status.details[1].Unpack(retry)
        assert retry.retry_delay.seconds > 0
        assert len(ids(generate(server.channel, spec(PROMPT, max_tokens=2)))) == 2
    finally:
        held.cancel()


@pytest.mark.parametrize("method", ["Generation/Generate", "Generation/StreamGenerate"])
@pytest.mark.parametrize("seconds", [-1, 0, 1e-6, 0.2])
def test_deadlines(seconds: float, method: str, server: Any) -> None:
    data = generation.GenerateRequest(spec=spec(PROMPT, max_tokens=900)).SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        call_bytes(server.channel, method, data, timeout=seconds)
    assert caught.value.code() is StatusCode.DEADLINE_EXCEEDED


TINY = 1e-45
# fmt: off
EDGES: dict[str, generation.GenerationSpec] = {
    "greatest sampling": sample(
        temperature=2, top_p=1, min_p=1, presence_penalty=2, frequency_penalty=2,
        repetition_penalty=2, seed=2**63 - 1, top_k=2**32 - 1, logprobs=20, min_tokens=4,
        max_tokens=4),
    "least sampling": sample(
        temperature=TINY, top_p=TINY, min_p=TINY, presence_penalty=-2, frequency_penalty=-2,
        repetition_penalty=TINY, seed=0, top_k=1, logprobs=0, min_tokens=0),
    "hottest of few": sample(temperature=2, top_p=TINY, repetition_penalty=TINY, logprobs=20),
    "most stops": sample(stop=[chr(192 + i) * 256 for i in range(16)],
                         stop_token_ids=range(3, 67)),
    "longest prompt": spec([9] * (CONTEXT - 1), max_tokens=2**32 - 1),
    "longest text": spec(("\n" + " " * 80) * 900),
    "last id": spec([VOCABULARY - 1]),
    "tool's turn": chat((USER, "Hi"), (TOOL, ""), (USER, "\x00 <|im_end|>\u202e")),
    "dose at the limit": steer(add("calm", 0.1, tuple(range(20)))),
    "eight operations": steer(*[add("calm", 0.01, (3,))] * 8),
    "no strength": steer(add("calm", 0.0), add("sad", -0.0)),
    "all sites": steer(add("calm", 0.01, tuple(reversed(range(30))))),
    "longest request id": asking(request_id="~" * 128),
    "names backwards": naming("sad", "calm"),
}
# fmt: on


@pytest.mark.parametrize("name", EDGES)
def test_the_edges_of_every_range_are_served(name: str, server: Any) -> None:
    request = generation.GenerationSpec(sampling={"max_tokens": 4})
    request.MergeFrom(EDGES[name])
    response = generate(server.channel, request, tenant="!" * 128)
    assert response.tokens
    assert response.finish.usage.generated_tokens == len(response.tokens)
    for operation in response.finish.receipt.operations:
        assert {s.tokens for s in operation.sites} == {operation.tokens_in_scope}


def test_64_texts_are_read(server: Any) -> None:
    stub = readout_grpc.ReadoutServiceStub(server.channel)
    response = stub.ReadText(read_text(*["Hi there"] * 64), timeout=120)
    assert len(response.results) == 64
