"""Consoles and tables."""

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vagus.cli._color import colored, z_style

_PIPE_WIDTH = 240


def console(*, stderr: bool = False) -> Console:
    """A console that takes texts of model and server as they are.

    Rich finds out by itself whether it is a terminal, and heeds NO_COLOR and FORCE_COLOR.
    """
    made = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not made.is_terminal:
        # Nothing reads the other end by its width: never cut a cell there.
        made.width = _PIPE_WIDTH
    return made


def table(*columns: str) -> Table:
    """An empty table with these columns."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        made.add_column(name)
    return made


def fact_table(facts: Iterable[tuple[str, str]]) -> Table:
    """A table of names and values."""
    made = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts:
        made.add_row(Text(name, "bold"), colored(value, None))
    return made


def z_cell(z: float) -> Text:
    """A z-score in its colour."""
    return Text(f"{z:+.2f}", z_style(z), justify="right")
