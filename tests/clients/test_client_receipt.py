"""Receipts: what passes for proof that steering happened."""

from dataclasses import dataclass

import pytest

from vagus import Gate, Receipt, ReceiptMismatch, ablate, add, verify_receipt
from vagus.v1.steering_pb2 import OperationReceipt


@dataclass
class Answer:
    receipt: Receipt | None


def answer(*operations: OperationReceipt, processed: int = 6) -> Answer:
    return Answer(Receipt(operations=operations, processed_tokens=processed))


def counted(concept: str, sites: dict[int, int], in_scope: int = 6) -> OperationReceipt:
    rows = [{"site": site, "tokens": tokens} for site, tokens in sites.items()]
    return OperationReceipt(concept=concept, sites=rows, tokens_in_scope=in_scope)


@pytest.mark.parametrize(
    ("program", "result"),
    [
        ([add("a", 1)], answer(counted("a", {15: 6}))),
        ([add("a", 1, sites=[16, 15])], answer(counted("a", {15: 6, 16: 6}))),
        ([add("a", 1, scope="prompt")], answer(counted("a", {15: 4}, in_scope=4))),
        ([add("a", 1, scope="generation")], answer(counted("a", {15: 0}, in_scope=0))),
        ([add("a", 1, gate=Gate("b", 0))], answer(counted("a", {15: 2}))),
        (
            [add("a", 1), ablate("b", sites=3)],
            answer(counted("a", {15: 6}), counted("b", {3: 6})),
        ),
        ([], answer()),
        ([], Answer(None)),
    ],
)
def test_what_was_done_as_asked(program: list[object], result: Answer) -> None:
    verify_receipt(program, result)


@pytest.mark.parametrize(
    ("program", "result", "what"),
    [
        ([add("a", 1)], Answer(None), "without a receipt"),
        ([add("a", 1)], answer(), "number of operations"),
        ([], answer(counted("a", {15: 6})), "number of operations"),
        ([add("a", 1)], answer(counted("b", {15: 6})), "concept"),
        ([add("a", 1)], answer(counted("a", {15: 5})), "steered by a at site 15: expected 6"),
        ([add("a", 1)], answer(counted("a", {15: 7})), "counted 7"),
        ([add("a", 1, sites=[15, 16])], answer(counted("a", {15: 6, 16: 5})), "at site 16"),
        ([add("a", 1, sites=[15, 16])], answer(counted("a", {15: 6})), "sites of a"),
        ([add("a", 1, sites=15)], answer(counted("a", {14: 6})), "sites of a"),
        ([add("a", 1, sites=15)], answer(counted("a", {15: 6, 16: 6})), "sites of a"),
        ([add("a", 1)], answer(counted("a", {})), "sites of a"),
        ([add("a", 1)], answer(counted("a", {14: 6, 15: 6})), "sites of a"),
        ([add("a", 1)], answer(counted("a", {15: 0}, in_scope=0)), "scope of a: expected 6"),
        ([add("a", 1, gate=Gate("b", 0))], answer(counted("a", {15: 7})), "counted 7"),
    ],
)
def test_what_was_not(program: list[object], result: Answer, what: str) -> None:
    with pytest.raises(ReceiptMismatch, match=what) as caught:
        verify_receipt(program, result)
    assert caught.value.code.name == "INTERNAL"
