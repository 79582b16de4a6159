"""The progress bar of long commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm


class Bar(Protocol):
    """What is told of progress."""

    def update(self, number: int = 1) -> object:
        """Counts so many more."""


@contextmanager
def progress(what: str, total: int) -> Iterator[Bar]:
    """A bar on standard error."""
    with tqdm(total=total, desc=what, disable=False, mininterval=0.5, unit="text") as bar:
        yield bar
