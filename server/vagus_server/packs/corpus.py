"""Loads the corpus that packs are extracted from, and refuses rows that break its rules.

concepts.json       {name: {"means": ..., "banned": [regex, ...]}}
stories/*.jsonl     {"concept", "topic", "person", "text"}   one file per topic
neutral.jsonl       {"kind", "topic", "text"}                nothing felt at all
prompts.json        chat prompts for reference traffic, and for the steering sweep
scenarios.jsonl     {"concept", "text"}: situations that imply a concept, never named
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
MIN_WORDS, MAX_WORDS = 85, 130
_Row = TypeVar("_Row")


class CorpusError(ValueError):
    """A corpus file breaks a rule; the message names the file and the row."""


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A concept's meaning and the words that its stories must not contain."""

    means: str
    #: Regular expressions, matched from the start of a word and without regard to case.
    banned: list[str]


class Story(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One paragraph in which one concept is felt and never named."""

    concept: str
    topic: str
    person: Literal["first", "third"]
    text: str


class Neutral(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A text without feeling."""

    kind: Literal["dialogue", "text"]
    topic: str
    text: str


class Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One or two sentences that a user might say."""

    concept: str
    text: str


class Prompts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What users ask the model."""

    reference: list[str]
    steering: list[str]


@dataclass(frozen=True)
class Corpus:
    """The checked corpus. Stories are in the order of file, then row."""

    concepts: dict[str, Concept]
    stories: list[Story]
    neutral: list[Neutral]
    prompts: Prompts
    scenarios: list[Scenario]
    #: SHA-256 over the names and contents of all files, hexadecimal.
    digest: str

    @property
    def topics(self) -> list[str]:
        """The stories' topics, sorted."""
        return sorted({story.topic for story in self.stories})


def load_corpus(folder: Path = CORPUS) -> Corpus:
    """Loads and checks a corpus.

    Raises:
        CorpusError: a row breaks the rules, or a topic lacks a concept or has it twice.
    """
    files = [
        folder / "concepts.json",
        folder / "neutral.jsonl",
        folder / "prompts.json",
        folder / "scenarios.jsonl",
        *sorted((folder / "stories").glob("*.jsonl")),
    ]
    concepts = _decode(files[0], files[0].read_bytes(), dict[str, Concept])
    stories: list[Story] = []
    for path in files[4:]:
        rows = _rows(path, Story)
        for line, story in enumerate(rows, 1):
            _check_story(f"{path.name}:{line}", path.stem, story, concepts)
        told = sorted(story.concept for story in rows)
        if told != sorted(concepts):
            raise CorpusError(f"{path.name} does not have exactly one story for each concept")
        stories += rows
    scenarios = _rows(files[3], Scenario)
    for scenario in scenarios:
        _check_text(f"{files[3].name} ({scenario.concept})", scenario, concepts)
    return Corpus(
        concepts=concepts,
        stories=stories,
        neutral=_rows(files[1], Neutral),
        prompts=_decode(files[2], files[2].read_bytes(), Prompts),
        scenarios=scenarios,
        digest=_digest(folder, files),
    )


def _check_story(where: str, topic: str, story: Story, concepts: dict[str, Concept]) -> None:
    if story.topic != topic:
        raise CorpusError(f"{where} has the topic {story.topic!r} in the file of {topic!r}")
    words = len(story.text.split())
    if not MIN_WORDS <= words <= MAX_WORDS:
        raise CorpusError(f"{where} has {words} words, not {MIN_WORDS} to {MAX_WORDS}")
    _check_text(where, story, concepts)


def _check_text(where: str, row: Story | Scenario, concepts: dict[str, Concept]) -> None:
    if row.concept not in concepts:
        raise CorpusError(f"{where} has the unknown concept {row.concept!r}")
    for pattern in concepts[row.concept].banned:
        if match := re.search(rf"\b{pattern}\w*", row.text, re.IGNORECASE):
            raise CorpusError(f"{where} names what it should show: {match.group(0)!r}")


def _rows(path: Path, row: type[_Row]) -> list[_Row]:
    lines = path.read_bytes().splitlines()
    return [_decode(path, line, row, number) for number, line in enumerate(lines, 1)]


def _decode(path: Path, data: bytes, kind: type[_Row], line: int = 1) -> _Row:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise CorpusError(f"{path.name}:{line} does not follow the schema: {error}") from None


def _digest(folder: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}:{len(data)}\n".encode() + data)
    return digest.hexdigest()
