"""What is shown of a reply beside its text: policies, mean readouts and the receipt."""

from rich.console import Console
from rich.text import Text

from vagus._operation import Add, Operation
from vagus._policy import PolicyEvent
from vagus._readout import TurnReadout
from vagus._receipt import verify_receipt
from vagus._result import Result
from vagus.cli._color import colored, severity_style
from vagus.cli._output import table, z_cell
from vagus.v1.steering_pb2 import OperationReceipt, ProgramReceipt

_MOST_ROWS = 8


def print_summary(console: Console, program: list[Operation], result: Result) -> None:
    """Print the mean readouts of a reply and its receipt.

    Raises:
        ReceiptMismatch: The receipt is missing or does not fit the program.
    """
    if result.turn is not None:
        _print_means(console, result.turn)
    verify_receipt(program, result)
    if result.receipt is not None and (program or result.receipt.changes):
        console.print(receipt_line(program, result), style="dim", soft_wrap=True)


def receipt_line(program: list[Operation], result: Result) -> str:
    """A verified receipt on one line."""
    receipt = result.receipt
    if receipt is None:
        return ""
    steered = "; ".join(map(_operation_text, receipt.operations, program)) or "nothing"
    later = "".join(f" · {_change_text(change, program)}" for change in receipt.changes)
    digest = f" · program {receipt.program_digest[:12]}" if receipt.program_digest else ""
    return (
        f"receipt: {steered}{later} · {receipt.processed_tokens} processed, "
        f"{receipt.cached_tokens} cached{digest} · verified"
    )


def _print_means(console: Console, turn: TurnReadout) -> None:
    scores = turn.z
    if len(scores) > _MOST_ROWS:
        strongest = sorted(scores, key=lambda name: -abs(scores[name]))[:_MOST_ROWS]
        scores = {name: scores[name] for name in strongest}
    means = table("concept", "mean z")
    for name, z in sorted(scores.items(), key=lambda item: -item[1]):
        means.add_row(colored(name, None), z_cell(z))
    console.print(means)


def policy_line(event: PolicyEvent) -> Text:
    """A policy's event on one line, in the colour of its severity."""
    what = "ended the reply" if event.kind == "stopped" else event.kind
    line = f"[{event.severity}] {event.policy} {what} (z {event.value:+.2f} at {event.position})"
    told = colored(line, None)
    told.stylize("dim" if event.kind == "ceased" else severity_style(event.severity))
    return told


def _change_text(change: ProgramReceipt, program: list[Operation]) -> str:
    by = f" ({', '.join(change.policies)})" if change.policies else ""
    actions: list[Operation | None] = [*program, *[None] * len(change.operations)]
    steered = "; ".join(map(_operation_text, change.operations, actions)) or "nothing"
    return f"from {change.from_position}{by}: {steered}"


def _operation_text(counted: OperationReceipt, operation: Operation | None) -> str:
    action = operation.action if operation else None
    what = f" {action.strength:+g} {action.unit}" if isinstance(action, Add) else ""
    sites = ",".join(str(site.site) for site in counted.sites)
    tokens = min((site.tokens for site in counted.sites), default=0)
    # Where it is not the same for all tokens, its mean.
    dose = sum(abs(site.dose) or site.mean_dose for site in counted.sites)
    return (
        f"{counted.concept}{what} @{sites}: {tokens}/{counted.tokens_in_scope} tokens, "
        f"dose {dose:.2g}"
    )
