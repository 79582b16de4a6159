"""From a ledger to the receipt that a caller can check."""

from collections.abc import Sequence

from vagus.v1 import steering_pb2 as pb
from vagus_server.engine.running import Running
from vagus_server.steering.receipt import Ledger, Segment


def receipt_message(running: Running, norms: Sequence[float]) -> pb.Receipt | None:
    """The receipt of a request so far; None where nothing ever steered it.

    Args:
        running: the request.
        norms: mean residual norm of each site.
    """
    ledger, end = running.ledger, running.processed_end
    first, *changes = ledger.segments(end)
    if not first.program and not changes:
        return None
    receipt = pb.Receipt(
        program_digest=first.program.digest.hex() if first.program else "",
        operations=_operations(ledger, first, norms),
        cached_tokens=ledger.cached_tokens,
        processed_tokens=ledger.processed_tokens(end),
    )
    for segment in changes:
        policies = [running.request.policies[i].name for i in segment.policies]
        receipt.changes.add(
            change_id=running.change_ids[segment.number],
            policies=policies,
            from_position=segment.start,
            to_position=segment.end,
            program_digest=segment.program.digest.hex() if segment.program else "",
            operations=_operations(ledger, segment, norms),
        )
    return receipt


def _operations(
    ledger: Ledger, segment: Segment, norms: Sequence[float]
) -> list[pb.OperationReceipt]:
    entries = []
    for i, operation in enumerate(segment.program.operations):
        entry = pb.OperationReceipt(
            concept=operation.concept,
            concept_digest=operation.vectors.digest,
            tokens_in_scope=ledger.in_scope(segment, i),
            gated=operation.gate is not None,
        )
        for count, a in zip(ledger.counts(segment, i), operation.a, strict=True):
            site = entry.sites.add(
                site=count.site,
                tokens=count.tokens,
                first_position=count.first,
                last_position=count.last,
                mean_dose=count.mean_step / norms[count.site],
                max_dose=count.max_step / norms[count.site],
            )
            if operation.constant:
                site.length, site.dose = a, a / norms[count.site]
        entries.append(entry)
    return entries
