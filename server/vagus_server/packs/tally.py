"""Counts of a user-supplied corpus: what it holds, and of what there is too little."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vagus_server.packs.user_rows import Reason, Row, UserCorpusError

MAX_CONCEPTS = 4096
MAX_TOPICS = 4096
PARTS = 5


@dataclass(frozen=True)
class Sides:
    """How many texts a contrast has."""

    positive: int
    negative: int


def part(index: int) -> str:
    """The topic of a concept's story of this index that has none."""
    return f"part {index % PARTS + 1}"


class Tally:
    """Counts of what a file holds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.stories: Counter[str] = Counter()
        self.positive: Counter[str] = Counter()
        self.negative: Counter[str] = Counter()
        self.topics: set[str] = set()
        #: Of each concept with stories the first topic, and whether there is another.
        self._first: dict[str, str] = {}
        self._several: set[str] = set()
        self._names: set[str] = set()

    def add(self, number: int, row: Row) -> None:
        """Counts a row of the number."""
        assert row.concept is not None
        self._names.add(row.concept)
        if row.side is None:
            topic = row.topic or part(self.stories[row.concept])
            self.stories[row.concept] += 1
            self.topics.add(topic)
            if self._first.setdefault(row.concept, topic) != topic:
                self._several.add(row.concept)
        else:
            (self.positive if row.side == "positive" else self.negative)[row.concept] += 1
        for what, names, most in (
            ("concepts", self._names, MAX_CONCEPTS),
            ("topics", self.topics, MAX_TOPICS),
        ):
            if len(names) > most:
                raise UserCorpusError(self._path, number, None, f"more than {most} {what}")

    def rows(self, concept: str) -> list[int]:
        """Numbers of texts: of the stories, or of both sides."""
        if concept in self.stories:
            return [self.stories[concept]]
        return [self.positive[concept], self.negative[concept]]

    def sides(self) -> dict[str, Sides]:
        """The contrasts."""
        names = sorted(self.positive.keys() | self.negative.keys())
        return {name: Sides(self.positive[name], self.negative[name]) for name in names}

    def poor(self, least: int) -> dict[str, tuple[Reason, str]]:
        """The concepts with too little, and why."""
        found = {}
        for concept in sorted(self._names):
            fewest = min(self.rows(concept))
            if fewest < least:
                kind = "stories" if concept in self.stories else "texts on a side"
                detail = f"has {fewest} {kind}, not at least {least}"
                found[concept] = (Reason.TOO_FEW_TEXTS, detail)
            elif concept in self.stories and concept not in self._several:
                found[concept] = (
                    Reason.TOO_FEW_TOPICS,
                    "has one topic; vectors are tested on others",
                )
        return found
