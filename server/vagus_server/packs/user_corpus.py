"""Corpora that users supply: `vagus-server extract --corpus PATH --neutral PATH`.

A corpus is a file of JSON lines; the schema of its rows is in vagus_server.packs.user_rows.
A concept has either stories, told against the other concepts' stories, or two sides, told
against each other. Neutral texts are in a file of their own; the bundled ones serve by default.

    corpus = open_corpus(path, neutral=None, rules=Rules(on_bad="skip"))
    corpus.stories        {"calm": 40, ...}: concepts that have stories, and how many
    corpus.contrasts      {"formal": Sides(30, 28), ...}
    corpus.topics         topics of the stories, sorted
    corpus.skipped        {Reason.DUPLICATE_TEXT: 3, ...}, empty unless on_bad="skip"
    corpus.digest         of both files, for the pack's provenance

    for story in corpus.iter_stories(): story.concept, story.topic, story.text
    for side in corpus.iter_sides(): side.concept, side.positive, side.text
    for text in corpus.iter_neutral(): ...

`open_corpus` reads everything once and keeps counts only. Each iterator reads its file again,
from the start, and gives the same rows in the same order; so a list of labels can be made in
one pass and the texts streamed in another. Memory does not depend on the number of rows, but
for the numbers of those whose length does not suit the model.

A story without a topic gets one of the PARTS topics "part 1" ... in turn, so that parts can be
left out when vectors are tested as topics are.

With on_bad="refuse" the first bad row ends it with UserCorpusError. With on_bad="skip" a bad
row is left out and counted; a concept that is left with too few texts or topics is left out as
a whole, its rows counted under that reason. What is left must still do: at least two concepts
with stories, or none and a contrast; and at least Rules.min_neutral neutral texts.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vagus_server.packs.corpus import CORPUS
from vagus_server.packs.good_rows import GoodRows, Rules
from vagus_server.packs.tally import Sides, Tally, part
from vagus_server.packs.user_rows import Reason, UserCorpusError

__all__ = ["Rules", "Side", "Story", "UserCorpus", "open_corpus"]


@dataclass(frozen=True)
class Story:
    """A text in which one concept is told."""

    concept: str
    topic: str
    text: str


@dataclass(frozen=True)
class Side:
    """A text of one side of a contrast."""

    concept: str
    positive: bool
    text: str


@dataclass(frozen=True)
class UserCorpus:
    """A corpus whose every row has been checked once."""

    path: Path
    rows: GoodRows
    neutral_rows: GoodRows
    stories: dict[str, int]
    contrasts: dict[str, Sides]
    topics: list[str]
    neutral: int
    #: SHA-256 of both files' contents, hexadecimal.
    digest: str
    #: Rows left out, by reason.
    skipped: dict[Reason, int]

    def iter_stories(self) -> Iterator[Story]:
        """All stories, in the order of the file; raises UserCorpusError if it has changed."""
        told: Counter[str] = Counter()
        for _number, row in self.rows.read():
            if row.concept in self.stories:
                topic = row.topic or part(told[row.concept])
                told[row.concept] += 1
                yield Story(row.concept, topic, row.text)
        self._check_same(self.path, told == self.stories)

    def iter_sides(self) -> Iterator[Side]:
        """The texts of all contrasts, in the order of the file; raises likewise."""
        told: Counter[tuple[str, bool]] = Counter()
        for _number, row in self.rows.read():
            if row.concept in self.contrasts:
                positive = row.side == "positive"
                told[row.concept, positive] += 1
                yield Side(row.concept, positive, row.text)
        counts = {name: Sides(told[name, True], told[name, False]) for name in self.contrasts}
        self._check_same(self.path, counts == self.contrasts)

    def iter_neutral(self) -> Iterator[str]:
        """The neutral texts, in the order of the file; raises likewise."""
        count = 0
        for _number, row in self.neutral_rows.read():
            count += 1
            yield row.text
        self._check_same(self.neutral_rows.path, count == self.neutral)

    def _check_same(self, path: Path, same: bool) -> None:
        if not same:
            raise UserCorpusError(path, None, None, "has changed since it was checked")


def open_corpus(path: Path, neutral: Path | None = None, rules: Rules | None = None) -> UserCorpus:
    """Reads and checks a corpus.

    Args:
        path: of the stories and sides.
        neutral: of the neutral texts; the bundled ones if None.
        rules: what is asked of them.

    Raises:
        UserCorpusError: a row is bad and `rules.on_bad` is "refuse"; too little is left; or a
            file cannot be read.
    """
    rules, neutral = rules or Rules(), neutral or CORPUS / "neutral.jsonl"
    rows, neutral_rows = GoodRows(path, rules), GoodRows(neutral, rules, neutral=True)
    skipped: Counter[Reason] = Counter()
    tally = Tally(path)
    for number, row in rows.read(skipped):
        tally.add(number, row)
    neutral_texts = sum(1 for _ in neutral_rows.read(skipped))
    poor = tally.poor(rules.min_texts)
    for concept, (reason, detail) in poor.items():
        if rules.on_bad == "refuse":
            raise UserCorpusError(path, None, reason, f"{concept!r} {detail}")
        skipped[reason] += sum(tally.rows(concept))
    stories = {name: n for name, n in sorted(tally.stories.items()) if name not in poor}
    contrasts = {name: sides for name, sides in tally.sides().items() if name not in poor}
    if len(stories) == 1 or not (stories or contrasts):
        raise UserCorpusError(
            path, None, None, "needs stories of two concepts or more, or a contrast"
        )
    if neutral_texts < rules.min_neutral:
        detail = f"{neutral_texts} neutral texts, not at least {rules.min_neutral}"
        raise UserCorpusError(neutral, None, Reason.TOO_FEW_TEXTS, detail)
    return UserCorpus(
        path=path,
        rows=rows,
        neutral_rows=neutral_rows,
        stories=stories,
        contrasts=contrasts,
        topics=sorted(tally.topics),
        neutral=neutral_texts,
        digest=_digest(path, neutral),
        skipped=dict(skipped),
    )


def _digest(*paths: Path) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
