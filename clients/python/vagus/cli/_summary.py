"""What is shown after a reply: mean readouts and the receipt."""

from rich.console import Console

from vagus._operation import Add, Operation
from vagus._readout import TurnReadout
from vagus._receipt import verify_receipt
from vagus._result import Result
from vagus.cli._color import colored
from vagus.cli._output import table, z_cell
from vagus.v1.steering_pb2 import OperationReceipt

_MOST_ROWS = 8


def print_summary(console: Console, program: list[Operation], result: Result) -> None:
    """Print the mean readouts of a reply and its receipt.

    Raises:
        ReceiptMismatch: The receipt is missing or does not fit the program.
    """
    if result.turn is not None:
        _print_means(console, result.turn)
    verify_receipt(program, result)
    if result.receipt is not None and program:
        console.print(receipt_line(program, result), style="dim", soft_wrap=True)


def receipt_line(program: list[Operation], result: Result) -> str:
    """A verified receipt on one line."""
    receipt = result.receipt
    if receipt is None:
        return ""
    steered = "; ".join(map(_operation_text, program, receipt.operations))
    return (
        f"receipt: {steered} · {receipt.processed_tokens} processed, "
        f"{receipt.cached_tokens} cached · program {receipt.program_digest[:12]} · verified"
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


def _operation_text(operation: Operation, counted: OperationReceipt) -> str:
    action = operation.action
    what = f"{action.strength:+g} {action.unit}" if isinstance(action, Add) else ""
    sites = ",".join(str(site.site) for site in counted.sites)
    tokens = min((site.tokens for site in counted.sites), default=0)
    dose = sum(abs(site.dose) for site in counted.sites)
    return (
        f"{operation.name} {what} @{sites}: {tokens}/{counted.tokens_in_scope} tokens, "
        f"dose {dose:.2g}"
    )
