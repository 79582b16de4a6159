"""Checks that the device did what was asked for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from vagus._errors import ReceiptMismatch
from vagus._operation import Operation, Program
from vagus.v1.steering_pb2 import OperationReceipt, ProgramReceipt, Receipt


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
    leave tokens out, so that gated operations are only held to at most that many. What the
    server's policies added must show the same, wherever the receipt says that they acted.

    A conversation whose program was changed has `Conversation.verify` for that.

    Raises:
        ReceiptMismatch: The receipt is missing or says otherwise.
    """
    verify_programs([Asked(program)], result.receipt)


@dataclass(frozen=True, slots=True)
class Asked:
    """A program that was to hold from a position on, until the next one.

    Attributes:
        program: The program.
        start: The position.
        change_id: The change that it came with; "" for the first one.
        digest: Its digest as the server has told it; None where it has not.
    """

    program: Program
    start: int = 0
    change_id: str = ""
    digest: str | None = None


def verify_programs(
    programs: Sequence[Asked], receipt: Receipt | None, processed_end: int | None = None
) -> None:
    """Check a receipt against the programs that were to hold, ascending by position.

    Args:
        programs: The first one holds from 0 on.
        receipt: What the device did.
        processed_end: One past the last position processed, where that is known otherwise.

    Raises:
        ReceiptMismatch: It is missing or says otherwise.
    """
    if receipt is None:
        if any(a.program and (processed_end is None or a.start < processed_end) for a in programs):
            raise ReceiptMismatch("the program was answered without a receipt")
        return
    ends = [later.start for later in programs[1:]] + [None]
    ranges = {a.change_id: (a, end) for a, end in zip(programs, ends, strict=True)}
    for part in _parts(receipt):
        found = ranges.get(part.change_id)
        if found is None:
            raise _mismatch("a program", "one that was asked for", part.change_id)
        asked, end = found
        if part.from_position < asked.start or (end is not None and part.to_position > end):
            told = f"{part.from_position} to {part.to_position}"
            raise _mismatch(f"positions of {_name(asked)}", f"{asked.start} to {end}", told)
        digest = receipt.program_digest if asked.digest is None else asked.digest
        if not part.policies and part.program_digest != digest:
            raise _mismatch(f"digest of {_name(asked)}", digest, part.program_digest)
        first = max(part.from_position, receipt.cached_tokens)
        _verify_part(asked.program, part, max(0, part.to_position - first))


def _parts(receipt: Receipt) -> Iterator[ProgramReceipt]:
    """The first program and all that followed it; raises unless they hold for every position."""
    end = receipt.cached_tokens + receipt.processed_tokens
    bounds = [*(change.from_position for change in receipt.changes), end]
    yield ProgramReceipt(
        to_position=bounds[0],
        program_digest=receipt.program_digest,
        operations=receipt.operations,
    )
    for change, (start, stop) in zip(receipt.changes, pairwise(bounds), strict=True):
        if change.to_position != stop or start >= stop:
            raise _mismatch(f"end of the program from {start} on", stop, change.to_position)
        yield change


def _verify_part(program: Program, part: ProgramReceipt, processed_tokens: int) -> None:
    own, added = part.operations[: len(program)], part.operations[len(program) :]
    if len(own) < len(program) or bool(added) != bool(part.policies):
        more = " and the policies'" if part.policies else ""
        raise _mismatch("the number of operations", f"{len(program)}{more}", len(part.operations))
    for operation, counted in zip(program, own, strict=True):
        _verify_operation(operation, counted, processed_tokens)
    for counted in added:
        # What a policy adds is for all tokens, without a gate.
        _verify_counts(counted, processed_tokens, gated=False)


def _verify_operation(
    operation: Operation, counted: OperationReceipt, processed_tokens: int
) -> None:
    name = operation.name
    if counted.concept != name:
        raise _mismatch("an operation's concept", name, counted.concept)
    sites = [site.site for site in counted.sites]
    # Without sites the pack chooses one: whichever it is, it must be there.
    if sites != (sorted(set(operation.sites)) or sites[:1]) or not sites:
        raise _mismatch(f"sites of {name}", sorted(set(operation.sites)) or "one", sites)
    in_scope = processed_tokens if operation.scope == "all" else counted.tokens_in_scope
    _verify_counts(counted, in_scope, gated=operation.gate is not None)


def _verify_counts(counted: OperationReceipt, in_scope: int, *, gated: bool) -> None:
    name = counted.concept
    if counted.tokens_in_scope != in_scope:
        raise _mismatch(f"tokens in the scope of {name}", in_scope, counted.tokens_in_scope)
    if not counted.sites:
        raise _mismatch(f"sites of {name}", "one", [])
    for site in counted.sites:
        gated_out = gated and site.tokens < in_scope
        if site.tokens != in_scope and not gated_out:
            what = f"tokens steered by {name} at site {site.site}"
            raise _mismatch(what, in_scope, site.tokens)


def _name(asked: Asked) -> str:
    return f"the program of {asked.change_id}" if asked.change_id else "the first program"


def _mismatch(what: str, expected: object, counted: object) -> ReceiptMismatch:
    return ReceiptMismatch(
        f"{what}: expected {expected}, the device counted {counted}",
        reason="RECEIPT_MISMATCH",
        metadata={"expected": str(expected), "counted": str(counted)},
    )
