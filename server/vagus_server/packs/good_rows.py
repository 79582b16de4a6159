"""The rows of a user's file that keep to the rules, read as often as they are wanted."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vagus_server.packs.seen import Seen
from vagus_server.packs.user_rows import BadRow, Reason, Row, UserCorpusError, read_rows


@dataclass(frozen=True)
class Rules:
    """What a corpus has to keep to.

    Args:
        on_bad: what happens to a row that breaks a rule.
        concepts: the only ones allowed; None allows all.
        min_texts: of a concept, and of each side of a contrast.
        min_neutral: neutral texts.
        length: says what is wrong with a text's length for the model, if anything.
    """

    on_bad: Literal["refuse", "skip"] = "refuse"
    concepts: frozenset[str] | None = None
    min_texts: int = 5
    min_neutral: int = 10
    length: Callable[[str], BadRow | None] | None = None


class GoodRows:
    """The good rows of a file; the same ones at each reading, as long as the file stays.

    Args:
        path: of the file.
        rules: what a row has to keep to.
        neutral: whether the rows are neutral texts.
    """

    def __init__(self, path: Path, rules: Rules, *, neutral: bool = False) -> None:
        self.path = path
        self._rules, self._neutral = rules, neutral
        #: Rows whose length does not suit the model. Only the first reading asks for it: to count
        #: tokens takes far longer than to read.
        self._unfit: set[int] = set()
        self._measured = rules.length is None

    def read(self, skipped: Counter[Reason] | None = None) -> Iterator[tuple[int, Row]]:
        """Yields the rows with their numbers, counted from 1; the first reading must be whole.

        Args:
            skipped: counts what is left out, by reason.

        Raises:
            UserCorpusError: a row is bad and the rules refuse it, or the file cannot be read.
        """
        path = self.path
        counts: Counter[Reason] = Counter() if skipped is None else skipped
        try:
            if not path.is_file():
                raise UserCorpusError(path, None, None, "is not a file")
            kinds: dict[str, bool] = {}
            with Seen() as seen:
                for number, row in read_rows(path, neutral=self._neutral):
                    if number in self._unfit:
                        continue
                    bad = row if isinstance(row, BadRow) else self._broken(number, row, kinds, seen)
                    if isinstance(row, Row) and bad is None:
                        yield number, row
                    elif bad is not None and self._rules.on_bad == "skip":
                        counts[bad.reason] += 1
                    elif bad is not None:
                        raise UserCorpusError(path, number, bad.reason, bad.detail)
            self._measured = True
        except OSError as error:
            raise UserCorpusError(path, None, None, f"cannot be read: {error.strerror}") from None
        except sqlite3.Error as error:
            detail = f"no room for what was seen: {error}"
            raise UserCorpusError(path, None, None, detail) from None

    def _broken(self, number: int, row: Row, kinds: dict[str, bool], seen: Seen) -> BadRow | None:
        """Which rule a row breaks that follows the schema, if any."""
        rules = self._rules
        # First of all, so that a row that is left out for it never counts as seen.
        if not self._measured and rules.length is not None:
            bad = rules.length(row.text)
            if bad is not None:
                self._unfit.add(number)
                return bad
        if row.concept is not None:
            if rules.concepts is not None and row.concept not in rules.concepts:
                return BadRow(Reason.UNKNOWN_CONCEPT, repr(row.concept))
            # A concept is of the kind that its first row has.
            if kinds.setdefault(row.concept, row.side is None) != (row.side is None):
                return BadRow(Reason.TWO_KINDS, repr(row.concept))
        if not seen.add(row.text):
            return BadRow(Reason.DUPLICATE_TEXT, repr(row.text[:60]))
        return None
