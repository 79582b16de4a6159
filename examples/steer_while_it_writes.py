"""Switches calm on in the middle of an answer, and proves from where on it held.

usage: python examples/steer_while_it_writes.py [--server HOST:PORT] [--prompt TEXT]
"""

import argparse

from rich.console import Console
from rich.text import Text

from vagus import Client, GenerateOptions, Message, add
from vagus.cli._color import Painter, z_style

PROMPT = "My exam is tomorrow and I have not slept. Write down what goes through my head."
CONCEPT = "calm"
#: The answer begins like this, and goes on calm.
BEGINNING = [add("desperate", 0.2)]
REST = [add(CONCEPT, 0.3)]
#: Greedy, and kept from going round in circles, as small models do.
OPTIONS: GenerateOptions = {"temperature": 0, "repetition_penalty": 1.15, "max_tokens": 120}
TOKENS_BEFORE = 40


def main(server: str, prompt: str) -> None:
    """Streams one answer, each token coloured by its readout, and changes it on its way."""
    console = Console(highlight=False, markup=False)
    painter = Painter(CONCEPT)
    chat: list[Message] = [{"role": "user", "content": prompt}]
    with (
        Client(server) as client,
        client.converse(chat, program=BEGINNING, readouts=[CONCEPT], **OPTIONS) as conversation,
    ):
        tokens = 0
        for event in conversation:
            for change in event.changes:
                console.print(f"\n[{change.id} holds from position {change.program_from} on]")
            for piece, z in painter.pieces(event):
                console.print(Text(piece, z_style(z)), end="", soft_wrap=True)
            before, tokens = tokens, tokens + len(event.tokens)
            if before < TOKENS_BEFORE <= tokens:
                conversation.change(program=REST)
    conversation.verify()
    console.print()
    receipt = conversation.result.receipt
    assert receipt is not None
    for operations in [receipt.operations, *(change.operations for change in receipt.changes)]:
        for operation in operations:
            steered, *_ = operation.sites
            console.print(
                f"receipt: {operation.concept} on {steered.tokens}/{operation.tokens_in_scope} "
                f"tokens, {steered.first_position} to {steered.last_position}",
                soft_wrap=True,
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--prompt", default=PROMPT)
    arguments = parser.parse_args()
    main(arguments.server, arguments.prompt)
