"""Progress on standard error: a line that is rewritten, or one every tenth where there is no
terminal."""

import sys


class Progress:
    """Counts to a total.

    Args:
        what: is being done.
        total: how often.
    """

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        terminal, last = sys.stderr.isatty(), self._done == self._total
        step = max(1, self._total // (100 if terminal else 10))
        if last or self._done % step == 0:
            start, end = ("\r", "\n" if last else "") if terminal else ("", "\n")
            sys.stderr.write(f"{start}{self._what}: {self._done} of {self._total}{end}")
            sys.stderr.flush()
