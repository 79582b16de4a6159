"""Checks that the device did what a program asked for."""

from typing import Protocol

from vagus._errors import ReceiptMismatch
from vagus._operation import Operation, Program
from vagus.v1.steering_pb2 import OperationReceipt, Receipt


class HasReceipt(Protocol):
    """A `Result` or a `Reading`."""

    @property
    def receipt(self) -> Receipt | None:
        """What the device did."""
        ...


def verify_receipt(program: Program, result: HasReceipt) -> None:
    """Check a finished result's receipt against the program that it was asked with.

    Every operation must show, at every site that it names, as many tokens steered as were in
    its scope; a scope of all tokens must hold every token that the device processed. A gate may
    leave tokens out, so that gated operations are only held to at most that many.

    Raises:
        ReceiptMismatch: The receipt is missing or says otherwise.
    """
    receipt = result.receipt
    if receipt is None:
        if program:
            raise ReceiptMismatch("the program was answered without a receipt")
        return
    if len(receipt.operations) != len(program):
        raise _mismatch("the number of operations", len(program), len(receipt.operations))
    for operation, counted in zip(program, receipt.operations, strict=True):
        _verify_operation(operation, counted, receipt.processed_tokens)


def _verify_operation(
    operation: Operation, counted: OperationReceipt, processed_tokens: int
) -> None:
    name = operation.name
    if counted.concept != name:
        raise _mismatch("an operation's concept", name, counted.concept)
    if operation.scope == "all" and counted.tokens_in_scope != processed_tokens:
        raise _mismatch(f"tokens in the scope of {name}", processed_tokens, counted.tokens_in_scope)
    sites = [site.site for site in counted.sites]
    # Without sites the pack chooses one: whichever it is, it must be there.
    if sites != (sorted(set(operation.sites)) or sites[:1]) or not sites:
        raise _mismatch(f"sites of {name}", sorted(set(operation.sites)) or "one", sites)
    for site in counted.sites:
        gated_out = operation.gate is not None and site.tokens < counted.tokens_in_scope
        if site.tokens != counted.tokens_in_scope and not gated_out:
            what = f"tokens steered by {name} at site {site.site}"
            raise _mismatch(what, counted.tokens_in_scope, site.tokens)


def _mismatch(what: str, expected: object, counted: object) -> ReceiptMismatch:
    return ReceiptMismatch(
        f"{what}: expected {expected}, the device counted {counted}",
        reason="RECEIPT_MISMATCH",
        metadata={"expected": str(expected), "counted": str(counted)},
    )
