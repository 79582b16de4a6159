"""Policies on the real engine: the right token decides, and what it decides holds from the next.

A request's own program drives a readout over the threshold, between two generated tokens, and
lets it fall again. From the readouts that came back, the test works out what must have happened.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.calls import add, generate, ids, spec, stream
from support.compare import compare_course
from support.conversation import Conversation
from support.live import course
from support.reference import Reference
from support.refusals import refused
from support.server_process import ServerProcess
from support.slow import SlowCourse
from support.waiting import wait_for
from vagus.v1 import (
    generation_service_pb2,
    policy_pb2,
    policy_service_pb2,
    policy_service_pb2_grpc,
    readout_pb2,
    steering_pb2,
)

pytestmark = pytest.mark.engine

PROMPT = "The letter lay on the kitchen table. She read it twice, then"
BEGIN, CEASE, SHARE, AFTER = 2.0, 1.0, 0.5, 2
BEGAN, CEASED, STOPPED = (
    policy_pb2.POLICY_EVENT_KIND_BEGAN,
    policy_pb2.POLICY_EVENT_KIND_CEASED,
    policy_pb2.POLICY_EVENT_KIND_STOPPED,
)
DESPERATE = readout_pb2.ReadoutSelection(
    names=readout_pb2.ConceptNames(names=["desperate"]), generation=True, z_score=True
)
EVERYTHING = readout_pb2.ReadoutSelection(
    prompt=True, generation=True, before=True, after=True, raw=True, z_score=True
)


#: What no runner has a part in. V2 runs in Triton's interpreter here, a second a token.
frontend_alone = pytest.mark.parametrize("small", ["v1"], indirect=True, ids=["small_v1"])


@pytest.fixture(autouse=True)
def small_is_left_clean(small: ServerProcess) -> Iterator[None]:
    """After every test the workers hold nothing."""
    yield
    wait_for(lambda: small.usage() == {"requests": 0, "slots": 0}, "slots to be free")
    assert small.metrics()['vagus_receipts_total{outcome="failed"}'] == 0


def driving(start: int = 10, end: int = 22, strength: float = 0.5) -> steering_pb2.Operation:
    """Drives desperation up between two generated tokens."""
    operation = add("desperate", strength, (15,))
    rule = operation.scope.include.add()
    rule.generated.start, rule.generated.end = start, end
    return operation


def asked(prompt: Any, *policies: str, **options: Any) -> Any:
    request = spec(prompt, driving(), **({"max_tokens": 40, "readouts": DESPERATE} | options))
    request.policies.extend(policies)
    return request


def expected_events(
    response: generation_service_pb2.GenerateResponse, column: int = 0
) -> list[tuple[int, int, float]]:
    """Kind, position and value of each, from the readouts, one token after the other."""
    smoothed, acts, events = 0.0, False, []
    for n, token in enumerate(response.tokens, 1):
        z = token.readout.sites[0].after_z[column]
        smoothed += max(SHARE, 1 / n) * (z - smoothed)
        if not acts and n >= AFTER and smoothed >= BEGIN:
            acts = True
            events.append((BEGAN, token.readout.position, smoothed))
        elif acts and smoothed < CEASE:
            acts = False
            events.append((CEASED, token.readout.position, smoothed))
    return events


def told_events(
    response: generation_service_pb2.GenerateResponse, policy: str
) -> list[tuple[int, int, float]]:
    return [
        (event.kind, event.position, pytest.approx(event.value, abs=1e-4))
        for event in response.policy_events
        if event.policy == policy
    ]


@frontend_alone
def test_what_is_served(small: ServerProcess) -> None:
    stub = policy_service_pb2_grpc.PolicyServiceStub(small.channel)
    listed = stub.ListPolicies(policy_service_pb2.ListPoliciesRequest())
    assert [p.name for p in listed.policies] == ["tells", "calms", "cheers", "ends"]
    calms = listed.policies[1]
    assert (calms.trigger.concept, calms.trigger.begin_z, calms.every_request) == (
        "desperate",
        2.0,
        False,
    )
    (steering,) = calms.steering
    assert (list(steering.sites), steering.ramp_tokens) == ([12, 15], 3)
    assert len(listed.digest) == 64


@frontend_alone
def test_a_policy_that_tells_changes_nothing(small: ServerProcess) -> None:
    before = small.metrics()
    plain = generate(small.channel, asked(PROMPT))
    watched = generate(small.channel, asked(PROMPT, "tells"))
    assert ids(watched) == ids(plain)
    assert not plain.policy_events
    want = expected_events(watched)
    assert [kind for kind, _, _ in want[:2]] == [BEGAN, CEASED], "the request tests nothing"
    assert told_events(watched, "tells") == want
    assert {event.severity for event in watched.policy_events} == {"critical"}
    assert not watched.finish.receipt.changes
    after = small.metrics()
    name = 'vagus_policy_events_total{kind="began",policy="tells"}'
    assert after[name] - before[name] == sum(kind == BEGAN for kind, _, _ in want)


def test_steering_holds_from_the_token_after_the_one_that_decided(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode(PROMPT)
    response = generate(small.channel, asked(prompt, "calms", readouts=EVERYTHING))
    want = expected_events(response, reference.index["desperate"])
    assert want[0][0] == BEGAN, "the request tests nothing"
    assert told_events(response, "calms") == want
    calming = add("calm", 0.3, (12, 15))
    calming.envelope.ramp_tokens = 3
    changes = response.finish.receipt.changes
    # The asynchronous scheduler has the next token under way when one has been read.
    for (kind, position, _), change in zip(want, changes, strict=False):
        assert 1 <= change.from_position - position <= small.runner
        assert list(change.policies) == (["calms"] if kind == BEGAN else [])
    assert 0 <= len(want) - len(changes) <= 1, "one may come too late to hold for a token"
    parts: list[tuple[int, list[steering_pb2.Operation]]] = [(0, [driving()])]
    for change in changes:
        added = [calming] if change.policies else []
        parts.append((change.from_position, [driving(), *added]))
    assert compare_course(
        reference, course(reference, prompt, *parts), prompt, response, EVERYTHING
    )


def test_a_policy_ends_a_request_with_the_token_that_was_chosen(small: ServerProcess) -> None:
    whole = generate(small.channel, asked(PROMPT))
    position = expected_events(whole)[0][1]
    prompt_tokens = whole.finish.usage.prompt_tokens
    ended = generate(small.channel, asked(PROMPT, "ends", "tells"))
    assert ended.finish.reason == generation_service_pb2.FINISH_REASON_POLICY
    assert ended.finish.policy == "ends"
    assert [(e.policy, e.kind, e.position) for e in ended.policy_events] == [
        ("tells", BEGAN, position),
        ("ends", STOPPED, position),
    ]
    assert len(ended.tokens) == position + 2 - prompt_tokens
    assert ids(ended) == ids(whole)[: len(ended.tokens)]
    assert ended.finish.usage.generated_tokens == len(ended.tokens)
    (operation,) = ended.finish.receipt.operations
    assert operation.tokens_in_scope == operation.sites[0].tokens > 0
    assert whole.text.startswith(ended.text)


@frontend_alone
def test_it_is_told_with_the_token(small: ServerProcess) -> None:
    for message in stream(small.channel, asked(PROMPT, "ends")):
        for event in message.policy_events:
            assert message.tokens[-1].readout.position >= event.position or not message.tokens
        last = message
    assert last.finish.policy == "ends"


@frontend_alone
def test_policies_and_changes_work_together(small: ServerProcess, reference: Reference) -> None:
    prompt = reference.tokenizer.encode(PROMPT)
    request = spec(prompt, readouts=EVERYTHING, max_tokens=40)
    request.policies.extend(["calms", "cheers"])
    conversation = Conversation(small.channel, request)
    conversation.read(8).steer(driving(12, 24), id="drive")
    conversation.read(28).steer(id="none")
    response = conversation.finish()
    changes = response.finish.receipt.changes
    calming = add("calm", 0.3, (12, 15))
    calming.envelope.ramp_tokens = 3
    cheering = add("happy", 0.2, (reference.concepts.steering_site,))
    own = {"": [], "drive": [driving(12, 24)], "none": []}
    acting: dict[str, int] = {}
    parts: list[tuple[int, Any]] = [(0, reference.program(prompt=prompt))]
    for change in changes:
        acting = {p: acting.get(p, change.from_position) for p in change.policies}
        operations = list(own[change.change_id])
        operations += [calming] if "calms" in acting else []
        operations += [cheering] if "cheers" in acting else []
        program = reference.program(*operations, prompt=prompt)
        program.origin = acting.get("calms")
        parts.append((change.from_position, program))
    kinds = {(event.policy, event.kind) for event in response.policy_events}
    assert {("calms", BEGAN), ("cheers", BEGAN)} <= kinds, "the request tests nothing"
    assert compare_course(reference, SlowCourse(parts), prompt, response, EVERYTHING)


@frontend_alone
def test_watched_requests_in_a_batch_do_not_disturb_each_other(small: ServerProcess) -> None:
    alone = {name: generate(small.channel, asked(PROMPT, name)) for name in ("tells", "ends")}
    plain = generate(small.channel, asked(PROMPT))
    with ThreadPoolExecutor(9) as pool:
        names = ["tells", "ends", ""] * 3
        found = list(
            pool.map(
                lambda name: generate(small.channel, asked(PROMPT, *([name] if name else []))),
                names,
            )
        )
    for name, response in zip(names, found, strict=True):
        want = alone[name] if name else plain
        assert ids(response) == ids(want)
        assert [e.position for e in response.policy_events] == [
            e.position for e in want.policy_events
        ]


@frontend_alone
def test_what_cannot_be_watched_is_refused(small: ServerProcess) -> None:
    refusal = refused(lambda: generate(small.channel, asked(PROMPT, "clams")))
    assert refusal.info.reason == "POLICY_NOT_FOUND"
    assert refusal.info.metadata["field"] == "spec.policies[0]"
    full = asked(PROMPT, "calms")
    full.program.operations.extend([add("sad", 0.01)] * 7)
    assert refused(lambda: generate(small.channel, full)).info.reason == "TOO_MANY_OPERATIONS"
