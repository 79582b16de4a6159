"""One reply, streamed to the terminal."""

from dataclasses import dataclass, field

import typer
from rich.console import Console

from vagus._client import Client
from vagus._operation import Operation
from vagus._policy import PolicyEvent
from vagus._prompt import PromptLike
from vagus._receipt import verify_receipt
from vagus._request import GenerateOptions
from vagus._result import Result
from vagus._selection import ReadoutsLike
from vagus.cli._color import Painter, colored
from vagus.cli._json import print_json, result_json
from vagus.cli._output import console
from vagus.cli._summary import policy_line, print_summary


@dataclass(frozen=True, slots=True)
class Replier:
    """Makes replies, all in the same way.

    Attributes:
        client: The connection.
        program: How they are steered.
        readouts: What is read at their tokens.
        color: The concept whose z-score colours them, if any.
        options: How their tokens are chosen, and which policies watch.
        screen: Where the reply goes.
        notes: Where the summary goes: to standard error, so that a pipe gets the reply alone.
    """

    client: Client
    program: list[Operation]
    readouts: ReadoutsLike | None
    color: str | None
    options: GenerateOptions
    screen: Console = field(default_factory=console)
    notes: Console = field(default_factory=lambda: console(stderr=True))

    def show(self, prompt: PromptLike) -> Result:
        """Stream a reply, then print its summary."""
        painter = Painter(self.color)
        stream = self.client.stream(
            prompt, program=self.program, readouts=self.readouts, **self.options
        )
        with stream:
            try:
                for event in stream:
                    for text, z in painter.pieces(event):
                        self._print(text, z)
                    for happened in event.policy_events:
                        self._tell(happened, stream.result.text)
            finally:
                if stream.result.text:
                    self._print("\n", None)
        print_summary(self.notes, self.program, stream.result)
        return stream.result

    def show_json(self, prompt: PromptLike) -> None:
        """Print a whole reply as JSON."""
        result = self.client.generate(
            prompt, program=self.program, readouts=self.readouts, **self.options
        )
        verify_receipt(self.program, result)
        print_json(result_json(result))

    def _tell(self, event: PolicyEvent, text: str) -> None:
        if self.screen.is_terminal and text and not text.endswith("\n"):
            # Both go to the same terminal: leave the line that the reply is on.
            self._print("\n", None)
        self.notes.print(policy_line(event), soft_wrap=True)

    def _print(self, text: str, z: float | None) -> None:
        if self.screen.is_terminal:
            self.screen.print(colored(text, z), end="", soft_wrap=True)
        else:
            # Rich would expand tabs and drop control characters.
            typer.echo(text, nl=False)
