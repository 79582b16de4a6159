"""Receipts of requests whose program changed: what passes for proof of each part."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from client_drivers import AnyConversation, Driver, asynchronous
from generation_messages import finish
from scripted_server import HEAR, send, serve

from vagus import Event, Program, Receipt, ReceiptMismatch, add, verify_receipt
from vagus._receipt import Asked, verify_programs
from vagus.v1 import generation_service_pb2 as pb
from vagus.v1.steering_pb2 import OperationReceipt, ProgramReceipt


@dataclass
class Answer:
    receipt: Receipt | None


CALM, SAD = [add("calm", 0.3)], [add("sad", 0.1)]
ASKED = [Asked(CALM), Asked([], 4, "a", ""), Asked(SAD, 7, "b", "d-sad")]


def counted(concept: str, tokens: int, in_scope: int | None = None) -> OperationReceipt:
    scope = tokens if in_scope is None else in_scope
    return OperationReceipt(
        concept=concept, tokens_in_scope=scope, sites=[{"site": 15, "tokens": tokens}]
    )


def part(
    start: int, end: int, *operations: OperationReceipt, digest: str = "", **fields: Any
) -> ProgramReceipt:
    return ProgramReceipt(
        from_position=start,
        to_position=end,
        program_digest=digest,
        operations=operations,
        **fields,
    )


def receipt(
    *changes: ProgramReceipt, first: Sequence[OperationReceipt] = (), cached: int = 0
) -> Receipt:
    """Of ten processed positions; the first program's digest is d-calm."""
    return Receipt(
        program_digest="d-calm",
        operations=first,
        cached_tokens=cached,
        processed_tokens=10 - cached,
        changes=changes,
    )


OFF, THEN = part(4, 7, change_id="a"), part(7, 10, counted("sad", 3), digest="d-sad", change_id="b")
FIRST = [counted("calm", 4)]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (ASKED, receipt(OFF, THEN, first=FIRST)),
        # The cache gave the first two positions.
        (ASKED, receipt(OFF, THEN, first=[counted("calm", 2)], cached=2)),
        # The last change came where nothing was processed any more.
        (
            [*ASKED, Asked(CALM, 10, "c", "d-calm")],
            receipt(OFF, THEN, first=FIRST),
        ),
        # A change before the first token.
        (
            [Asked(CALM), Asked(SAD, 0, "b", "d-sad")],
            receipt(
                part(0, 10, counted("sad", 10), digest="d-sad", change_id="b"),
                first=[counted("calm", 0)],
            ),
        ),
        # A policy acts over the change from the first program to the next, and ceases.
        (
            [Asked(CALM), Asked(SAD, 5, "b", "d-sad")],
            receipt(
                part(3, 5, counted("calm", 2), counted("glad", 2), policies=["p"]),
                part(5, 6, counted("sad", 1), counted("glad", 1), policies=["p"], change_id="b"),
                part(6, 10, counted("sad", 4), digest="d-sad", change_id="b"),
                first=[counted("calm", 3)],
            ),
        ),
    ],
)
def test_what_held_as_asked(asked: list[Asked], said: Receipt) -> None:
    verify_programs(asked, said)


STEERED = part(4, 7, counted("calm", 3), digest="d-calm", change_id="a")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (receipt(first=[counted("calm", 10)]), "positions of the first program"),
        (receipt(THEN, first=[counted("calm", 7)]), "positions of the first program"),
        (receipt(STEERED, THEN, first=FIRST), "digest of the program of a"),
        (receipt(OFF, part(7, 10, change_id="a"), first=FIRST), "positions of the program of a"),
        (
            receipt(part(4, 10, change_id="a"), first=FIRST),
            "positions of the program of a: expected 4 to 7",
        ),
        (receipt(OFF, part(8, 10), first=FIRST), "end of the program from 4"),
        (
            receipt(OFF, part(7, 9, counted("sad", 2), change_id="b"), first=FIRST),
            "end of the program from 7",
        ),
        (receipt(OFF, part(7, 10, change_id="z"), first=FIRST), "a program"),
        (
            receipt(
                OFF, part(7, 10, counted("sad", 2, 3), digest="d-sad", change_id="b"), first=FIRST
            ),
            "steered by sad at site 15: expected 3",
        ),
        (
            receipt(
                OFF, part(7, 10, counted("sad", 2), digest="d-sad", change_id="b"), first=FIRST
            ),
            "scope of sad: expected 3",
        ),
        (
            receipt(OFF, part(7, 10, counted("sad", 3), digest="d", change_id="b"), first=FIRST),
            "digest of the program of b",
        ),
        (receipt(OFF, THEN, first=[counted("calm", 3)]), "scope of calm: expected 4"),
        (None, "without a receipt"),
    ],
)
def test_what_did_not(said: Receipt | None, what: str) -> None:
    with pytest.raises(ReceiptMismatch, match=what):
        verify_programs(ASKED, said)


@pytest.mark.parametrize(
    ("program", "change", "what"),
    [
        ([], part(4, 10, counted("calm", 6), policies=["p"]), None),
        ([], part(4, 10, counted("calm", 5, 6), policies=["p"]), "steered by calm"),
        ([], part(4, 10, counted("calm", 5), policies=["p"]), "scope of calm"),
        ([], part(4, 10, policies=["p"]), "number of operations"),
        ([], part(4, 10, counted("calm", 6)), "number of operations"),
        ([], part(4, 10, OperationReceipt(tokens_in_scope=6), policies=["p"]), "sites"),
        (SAD, part(4, 10, counted("calm", 6), policies=["p"]), "number of operations"),
        (SAD, part(4, 10, counted("calm", 6), counted("sad", 6), policies=["p"]), "concept"),
        ([], part(4, 10, counted("calm", 6), policies=["p"], change_id="a"), "a program"),
    ],
)
def test_policies_additions(program: Program, change: ProgramReceipt, what: str | None) -> None:
    first = [counted("sad", 4)] if program else []
    answer = Answer(Receipt(operations=first, processed_tokens=10, changes=[change]))
    if what is None:
        verify_receipt(program, answer)
        return
    with pytest.raises(ReceiptMismatch, match=what):
        verify_receipt(program, answer)


async def conversation(driver: Driver, said: Receipt | None, *starts: int) -> AnyConversation:
    """One of 10 processed positions, changed to nothing and to sadness at given positions."""

    def act(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            conversation.change([])
            conversation.change(SAD)
            conversation.change(readouts=["calm"])

    answers = [
        pb.Changed(id="change-1", program_from=starts[0]),
        pb.Changed(id="change-2", program_from=starts[1], program_digest="d-sad"),
        pb.Changed(id="change-3", readouts_from=8),
    ]
    usage = pb.Usage(prompt_tokens=3, generated_tokens=8)
    messages = [
        HEAR,
        HEAR,
        HEAR,
        *(pb.ConverseResponse(changed=answer) for answer in answers),
        pb.ConverseResponse(output={"finish": finish(receipt=said, turn=None, usage=usage)}),
    ]
    async with serve(send(*messages)) as server:
        return await driver.converse(server.target, act, program=CALM if said else None)


@asynchronous
async def test_a_conversation_verifies_itself(driver: Driver) -> None:
    off, then = (ProgramReceipt.FromString(each.SerializeToString()) for each in (OFF, THEN))
    off.change_id, then.change_id = "change-1", "change-2"
    (await conversation(driver, receipt(off, then, first=FIRST), 4, 7)).verify()
    with pytest.raises(ReceiptMismatch, match="positions"):
        (await conversation(driver, receipt(off, then, first=FIRST), 4, 8)).verify()


@asynchronous
async def test_a_change_that_a_later_one_overtook_held_for_nothing(driver: Driver) -> None:
    then = part(4, 10, counted("sad", 6), digest="d-sad", change_id="change-2")
    for overtaken in (4, 5):
        (await conversation(driver, receipt(then, first=FIRST), overtaken, 4)).verify()


@asynchronous
async def test_a_receipt_may_be_missing_only_where_nothing_was_steered(driver: Driver) -> None:
    (await conversation(driver, None, 9, 10)).verify()
    with pytest.raises(ReceiptMismatch, match="without a receipt"):
        (await conversation(driver, None, 8, 9)).verify()


@asynchronous
async def test_a_conversation_without_its_end_has_no_receipt_to_verify(driver: Driver) -> None:
    def verify(conversation: AnyConversation, event: Event | None) -> None:
        if event is None:
            with pytest.raises(RuntimeError, match="iterate to the end"):
                conversation.verify()

    ended = pb.ConverseResponse(output={"finish": finish(receipt=None, turn=None)})
    async with serve(send(ended)) as server:
        (await driver.converse(server.target, verify)).verify()
