"""One prompt under several programs, streamed side by side, tokens coloured by a readout.

usage: python examples/side_by_side.py [--server HOST:PORT] [--prompt TEXT]
"""

import argparse
import asyncio
from dataclasses import dataclass, field

from rich.columns import Columns
from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.style import Style
from rich.text import Text

from vagus import AsyncClient, Message, Operation, Result, SamplingOptions, add, verify_receipt
from vagus.cli._color import Painter, z_style

PROMPT = "Write a short diary entry about today."
CONCEPT = "desperate"
#: Doses at two sites each, low enough for the text to hold together on the bundled model.
CALM = [add("calm", 0.12, sites=[13, 15])]
DESPERATE = [add("desperate", 0.15, sites=[12, 15])]
#: Greedy, and kept from going round in circles, as small models do.
SAMPLING: SamplingOptions = {"temperature": 0, "repetition_penalty": 1.15, "max_tokens": 56}


@dataclass
class Column:
    """One program and what has come of it."""

    title: str
    program: list[Operation]
    text: Text = field(default_factory=Text)
    result: Result | None = None

    def panel(self, width: int) -> Panel:
        """The column as it stands."""
        return Panel(self.text, title=self.title, width=width, height=11)


async def run(client: AsyncClient, column: Column, prompt: str) -> None:
    """Streams one column and checks its receipt."""
    painter = Painter(CONCEPT)
    chat: list[Message] = [{"role": "user", "content": prompt}]
    async with client.stream(
        chat, program=column.program, readouts=[CONCEPT, "calm"], **SAMPLING
    ) as stream:
        async for event in stream:
            for piece, z in painter.pieces(event):
                column.text.append(piece, z_style(z))
        column.result = stream.result
    verify_receipt(column.program, column.result)


def summary(column: Column) -> str:
    """Mean readouts and the receipt, in one line."""
    result = column.result
    assert result is not None
    assert result.turn is not None
    z = result.turn.z
    line = f"{column.title:<25} mean z: calm {z['calm']:+.2f}, desperate {z['desperate']:+.2f}"
    if result.receipt is None:
        return f"{line} · not steered"
    (operation,) = result.receipt.operations
    sites = " and ".join(str(site.site) for site in operation.sites)
    steered = min(site.tokens for site in operation.sites)
    dose = sum(site.dose for site in operation.sites)
    return (
        f"{line} · receipt: {steered}/{operation.tokens_in_scope} tokens steered at sites {sites}, "
        f"dose {dose:.2f}, program {result.receipt.program_digest[:12]}"
    )


async def main(server: str, prompt: str) -> None:
    """Runs the three columns at once, in one batch of the server."""
    columns = [
        Column("unsteered", []),
        Column("calm +0.12 at 13, 15", CALM),
        Column("desperate +0.15 at 12, 15", DESPERATE),
    ]
    console = Console()
    width = min(44, console.width // len(columns) - 1)
    console.print(f"[bold]{prompt}[/]")
    scale = Text("each token coloured by its readout of 'desperate': ")
    for z in range(-3, 4):
        scale.append(f" {z:+d} ", z_style(float(z)) + Style(bold=True))
    async with AsyncClient(server) as client:
        running = asyncio.gather(*(run(client, column, prompt) for column in columns))
        if console.is_terminal:
            console.print(scale)
            with Live(console=console, refresh_per_second=8) as live:
                while not running.done():
                    live.update(Columns([c.panel(width) for c in columns]))
                    await asyncio.sleep(0.1)
                live.update(Columns([c.panel(width) for c in columns]))
        await running
    if not console.is_terminal:
        for column in columns:
            console.print(f"\n[{column.title}] {column.text.plain}", soft_wrap=True, markup=False)
        console.print()
    for column in columns:
        console.print(summary(column), soft_wrap=True, highlight=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--prompt", default=PROMPT)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.server, arguments.prompt))
