"""Changes of running requests on the real engine, on both runners, against the slow reference.

Whatever is said to hold from a position on is checked there: tokens, readouts and receipts before
it are the old program's and from it on the new one's.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from support.calls import EVERYTHING, GENERATION, RESIDUAL, add, generate, ids, spec
from support.compare import compare, compare_course
from support.conversation import Conversation
from support.live import course
from support.reference import Reference
from support.refusals import refused
from support.server_process import ServerProcess
from support.waiting import wait_for
from vagus.v1 import readout_pb2, steering_pb2

pytestmark = pytest.mark.engine

STORY = "The ferry was late again, and the rain came in sideways under the roof of the pier. "
PROMPT = "The letter lay on the kitchen table. She read it twice, then"


#: What no runner has a part in. V2 runs in Triton's interpreter here, a second a token.
frontend_alone = pytest.mark.parametrize("small", ["v1"], indirect=True, ids=["small_v1"])


@pytest.fixture(autouse=True)
def small_is_left_clean(small: ServerProcess) -> Iterator[None]:
    """After every test the workers hold nothing."""
    yield
    wait_for(lambda: small.usage() == {"requests": 0, "slots": 0}, "slots to be free")
    assert small.metrics()['vagus_receipts_total{outcome="failed"}'] == 0


def tokenise(reference: Reference, text: str) -> list[int]:
    encoded: list[int] = reference.tokenizer.encode(text)
    return encoded


DESPERATE = [add("desperate", 0.3, (15,)), add("sad", 0.1, (10, 12))]
CALM = [add("calm", 0.4, (15,))]
SET = [
    steering_pb2.Operation(
        concept="proud", sites=[12, 15], set=steering_pb2.Set(value=0.2, unit=RESIDUAL)
    )
]


def faded() -> steering_pb2.Operation:
    operation = add("happy", 0.4, (14,))
    operation.envelope.ramp_tokens = 5
    return operation


def test_each_program_holds_from_where_it_was_told(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = tokenise(reference, PROMPT)
    plan: list[tuple[str, list[steering_pb2.Operation]]] = [
        ("calmer", CALM),
        ("nothing", []),
        ("set", SET),
        ("rising", [faded(), *CALM]),
    ]
    # Enough that the last change comes in time though its sender is slow; V2 is slower here.
    tokens = 96 if small.runner == 1 else 40
    request = spec(prompt, *DESPERATE, readouts=EVERYTHING, max_tokens=tokens)
    conversation = Conversation(small.channel, request)
    for n, (name, operations) in enumerate(plan):
        conversation.read(6 + 8 * n).steer(*operations, id=name)
    response = conversation.finish()
    starts = [changed.program_from for changed in conversation.changed]
    assert [changed.id for changed in conversation.changed] == [name for name, _ in plan]
    for n, start in enumerate(starts):
        # What was read when the change was sent had been chosen before; the rest may run ahead.
        assert start >= len(prompt) + 6 + 8 * n - 1
    parts = [(0, DESPERATE), *zip(starts, (operations for _, operations in plan), strict=True)]
    assert compare_course(
        reference, course(reference, prompt, *parts), prompt, response, EVERYTHING
    )
    told = response.finish.receipt.changes
    assert [change.change_id for change in told] == [name for name, _ in plan]
    assert [c.program_digest for c in told] == [c.program_digest for c in conversation.changed]
    # The same program has the same digest, changed to or come with.
    direct = generate(small.channel, spec(prompt, *CALM, max_tokens=1)).finish.receipt
    assert told[0].program_digest == direct.program_digest


@frontend_alone
def test_an_unsteered_request_is_steered_midway(small: ServerProcess, reference: Reference) -> None:
    prompt = tokenise(reference, PROMPT)
    conversation = Conversation(small.channel, spec(prompt, readouts=GENERATION, max_tokens=64))
    conversation.read(5).steer(*DESPERATE)
    response = conversation.finish()
    (changed,) = conversation.changed
    parts = course(reference, prompt, (0, []), (changed.program_from, DESPERATE))
    assert compare_course(reference, parts, prompt, response, GENERATION)
    assert response.finish.receipt.program_digest == ""


def test_a_change_while_the_prompt_is_processed(small: ServerProcess, reference: Reference) -> None:
    prompt = tokenise(reference, STORY * 20)[:330]
    conversation = Conversation(
        small.channel, spec(prompt, *DESPERATE, readouts=GENERATION, max_tokens=8)
    )
    conversation.steer(*CALM)
    response = conversation.finish()
    (changed,) = conversation.changed
    assert changed.program_from <= len(prompt)
    parts = course(reference, prompt, (0, DESPERATE), (changed.program_from, CALM))
    assert compare_course(reference, parts, prompt, response, GENERATION)


def test_blocks_of_changed_requests_are_not_mistaken(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = tokenise(reference, "A dog barked at the tide. " + STORY * 3)[:70]
    conversation = Conversation(small.channel, spec(prompt, *DESPERATE, max_tokens=60))
    conversation.read(20).steer(*CALM)
    first = conversation.finish()
    (changed,) = conversation.changed
    longer = prompt + ids(first) + tokenise(reference, " Later that night")
    # Under the first program, what it processed may come back, and not a block more.
    again = generate(small.channel, spec(longer, *DESPERATE, readouts=GENERATION, max_tokens=4))
    assert 64 <= again.finish.usage.cached_prompt_tokens <= changed.program_from
    assert compare_course(
        reference, course(reference, longer, (0, DESPERATE)), longer, again, GENERATION
    )
    for others in (CALM, []):
        request = spec(longer, *others, readouts=GENERATION, max_tokens=4)
        other = generate(small.channel, request)
        assert other.finish.usage.cached_prompt_tokens == 0
        assert compare(
            reference, reference.program(*others, prompt=longer), longer, other, GENERATION
        )


def test_preempted_requests_are_computed_anew_as_they_were(
    small: ServerProcess, reference: Reference
) -> None:
    prompts = [tokenise(reference, f"Sailor {n} sat down. " + STORY * 8)[:90] for n in range(5)]

    tokens = 40 if small.runner == 1 else 24

    def preemptions() -> float:
        return sum(v for k, v in small.metrics().items() if k.startswith("vllm:num_preemptions"))

    def converse(n: int) -> tuple[Conversation, Any]:
        request = spec(prompts[n], *DESPERATE, readouts=GENERATION, max_tokens=tokens)
        conversation = Conversation(small.channel, request)
        conversation.read(3 + n).steer(*CALM)
        return conversation, conversation.finish()

    before = preemptions()
    with ThreadPoolExecutor(len(prompts)) as pool:
        done = list(pool.map(converse, range(len(prompts))))
    assert preemptions() > before, "nothing was preempted: the test tests nothing"
    for prompt, (conversation, response) in zip(prompts, done, strict=True):
        (changed,) = conversation.changed
        parts = course(reference, prompt, (0, DESPERATE), (changed.program_from, CALM))
        assert compare_course(reference, parts, prompt, response, GENERATION)
        assert len(response.tokens) == tokens


@frontend_alone
def test_what_is_read_changes_with_the_next_token(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = tokenise(reference, PROMPT)
    names = readout_pb2.ConceptNames(names=["calm", "sad"])
    calm = readout_pb2.ReadoutSelection(names=names, generation=True, raw=True)
    conversation = Conversation(small.channel, spec(prompt, *CALM, max_tokens=64))
    conversation.read(4).send(id="calm", readouts=calm)
    conversation.read(12).send(id="blind", stop_reading=True)
    everything = readout_pb2.ReadoutSelection(generation=True, before=True, after=True, raw=True)
    conversation.read(20).send(id="all", readouts=everything)
    response = conversation.finish()
    starts = [changed.readouts_from for changed in conversation.changed]
    assert [len(layout.concepts) for layout in conversation.layouts] == [2, 171]
    expected = reference.run(prompt + ids(response)[:-1], reference.program(*CALM, prompt=prompt))
    concepts = [reference.index[name] for name in names.names]
    for n, token in enumerate(response.tokens):
        position = len(prompt) - 1 + n
        read = sum(start <= position for start in starts)
        assert token.HasField("readout") == (read in (1, 3)), position
        if read in (1, 3):
            columns = concepts if read == 1 else slice(None)
            want = expected.rows[position, columns, 1]
            error = abs(want - token.readout.sites[0].after).max()
            assert error < 1e-4 * expected.norms[position]
    assert not any(changed.HasField("program_from") for changed in conversation.changed)
    assert not response.finish.receipt.changes


def refusals(small: ServerProcess, *changes: dict[str, Any], **options: Any) -> list[Any]:
    conversation = Conversation(small.channel, spec(PROMPT, *CALM, max_tokens=64, **options))
    conversation.read(2)
    for n, change in enumerate(changes):
        conversation.send(id=str(n), **change)
    response = conversation.finish()
    assert [changed.id for changed in conversation.changed] == [str(n) for n in range(len(changes))]
    assert not response.finish.receipt.changes
    assert response.finish.receipt.operations[0].sites[0].tokens > 64
    return [changed.refusal for changed in conversation.changed]


@frontend_alone
def test_a_refused_change_changes_nothing(small: ServerProcess) -> None:
    def program(*operations: steering_pb2.Operation) -> dict[str, Any]:
        return {"program": steering_pb2.Program(operations=operations)}

    prompt = readout_pb2.ReadoutSelection(prompt=True)
    told = refusals(
        small,
        program(add("no such concept", 0.1)),
        program(add("calm", 5.0)),
        program(*[add("calm", 0.01)] * 9),
        {},
        {"readouts": prompt},
        {"readouts": EVERYTHING, "stop_reading": True},
        # A good program beside a bad selection is not taken either.
        program(add("sad", 0.1)) | {"readouts": prompt},
    )
    assert [refusal.reason for refusal in told] == [
        "CONCEPT_NOT_FOUND",
        "DOSE_OVER_LIMIT",
        "TOO_MANY_OPERATIONS",
        "FIELD_INVALID",
        "FIELD_INVALID",
        "FIELD_INVALID",
        "FIELD_INVALID",
    ]
    assert told[0].metadata["field"] == "change.program.operations[0].concept"
    assert told[0].code == grpc.StatusCode.NOT_FOUND.value[0]


@frontend_alone
def test_only_the_first_message_starts(small: ServerProcess) -> None:
    conversation = Conversation(small.channel, spec(PROMPT, max_tokens=200))
    conversation.read(1)
    conversation._sent.put(conversation_start())
    error = refused(conversation.finish)
    assert (error.info.reason, error.info.metadata["field"]) == ("FIELD_INVALID", "change")


def conversation_start() -> Any:
    from vagus.v1 import generation_service_pb2

    return generation_service_pb2.ConverseRequest(start=spec(PROMPT))


@frontend_alone
def test_a_caller_that_leaves_ends_its_request(small: ServerProcess) -> None:
    conversation = Conversation(small.channel, spec(PROMPT, *CALM, max_tokens=300))
    conversation.read(2).steer(*DESPERATE)
    conversation.read(4).call.cancel()
    conversation.close()


@frontend_alone
def test_a_caller_may_close_its_side_at_once(small: ServerProcess) -> None:
    conversation = Conversation(small.channel, spec(PROMPT, *CALM, max_tokens=8))
    conversation.close()
    assert len(conversation.finish().tokens) == 8


@frontend_alone
def test_many_changes_of_many_requests_leave_the_others_alone(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = tokenise(reference, PROMPT)
    alone = generate(small.channel, spec(prompt, *DESPERATE, readouts=GENERATION, max_tokens=64))

    def converse(n: int) -> Any:
        if n % 2:
            request = spec(prompt, *DESPERATE, readouts=GENERATION, max_tokens=64)
            return None, generate(small.channel, request)
        conversation = Conversation(small.channel, spec(prompt, readouts=GENERATION, max_tokens=64))
        for k in range(6):
            conversation.read(1 + 3 * k).steer(add("calm", 0.05 * (n + k + 1), (15,)), id=str(k))
        return conversation, conversation.finish()

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(converse, range(8)))
    for n, (conversation, response) in enumerate(done):
        if conversation is None:
            assert reference.may_differ(
                prompt, ids(response), ids(alone), reference.program(*DESPERATE, prompt=prompt)
            ) or ids(response) == ids(alone)
            continue
        parts = [(0, [])] + [
            (changed.program_from, [add("calm", 0.05 * (n + int(changed.id) + 1), (15,))])
            for changed in conversation.changed
        ]
        assert len(parts) == 7, conversation.changed
        assert compare_course(
            reference, course(reference, prompt, *parts), prompt, response, GENERATION
        )
