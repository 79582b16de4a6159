"""Loads the corpus that packs are extracted from, and refuses rows that break its rules.

concepts.json       {name: {"means": ..., "banned": [word or phrase, ...]}}
stories/*.jsonl     {"concept", "topic", "person", "text"}   one file per topic, every concept once
other/*.jsonl       the same, by another writer: nothing is fitted to these
earlier/*.jsonl     the same, by earlier writers and of some concepts only: nor to these
neutral.jsonl       {"kind", "topic", "text"}                nothing felt at all
prompts.json        chat prompts for reference traffic, and for the steering sweep
scenarios.jsonl     {"concept", "text"}: situations that imply a concept, never named
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from vagus_server.packs.names import is_concept_name
from vagus_server.packs.wording import Banned

CORPUS = Path(__file__).parent.parent / "data" / "corpus"
MIN_WORDS, MAX_WORDS = 70, 130
_SINGLE = ("concepts.json", "neutral.jsonl", "prompts.json", "scenarios.jsonl")
_HELD_OUT = ("other", "earlier")
_Row = TypeVar("_Row")


class CorpusError(ValueError):
    """A corpus file breaks a rule; the message names the file and the row."""


class Concept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A concept's meaning and the words that its stories must not contain."""

    means: str
    #: Words and phrases, compared by their stems (see vagus_server.packs.wording).
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
    #: Held out: by another writer, every concept once a topic.
    other: list[Story]
    #: Held out: by earlier writers, of some of the concepts.
    earlier: list[Story]
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
        CorpusError: a row breaks the rules, a topic has a concept twice or (but for the earlier
            ones) lacks it, or two rows have the same text.
    """
    single = [folder / name for name in _SINGLE]
    sets = {name: sorted((folder / name).glob("*.jsonl")) for name in ("stories", *_HELD_OUT)}
    concepts = load_concepts(single[0])
    banned = {name: Banned(concept.banned) for name, concept in concepts.items()}
    told = {
        name: [story for path in paths for story in _stories(path, banned, name != "earlier")]
        for name, paths in sets.items()
    }
    neutral, scenarios = _rows(single[1], Neutral), _rows(single[3], Scenario)
    for scenario in scenarios:
        _check_text(f"{single[3].name} ({scenario.concept})", scenario, banned)
    stories = [story for rows in told.values() for story in rows]
    texts = [row.text for row in stories] + [row.text for row in neutral]
    _check_distinct(texts + [row.text for row in scenarios])
    return Corpus(
        concepts=concepts,
        stories=told["stories"],
        other=told["other"],
        earlier=told["earlier"],
        neutral=neutral,
        prompts=load_prompts(single[2]),
        scenarios=scenarios,
        digest=_digest(folder, single + [path for paths in sets.values() for path in paths]),
    )


def load_concepts(path: Path) -> dict[str, Concept]:
    """Loads meanings; raises CorpusError where the file does not follow the schema."""
    concepts = _decode(path, path.read_bytes(), dict[str, Concept])
    if bad := [name for name in concepts if not is_concept_name(name)]:
        raise CorpusError(f"{path.name}: no concept can be named {bad[0]!r}")
    return concepts


def load_prompts(path: Path) -> Prompts:
    """Loads prompts; raises CorpusError where the file does not follow the schema."""
    prompts = _decode(path, path.read_bytes(), Prompts)
    if not (prompts.reference and prompts.steering):
        raise CorpusError(f"{path.name} needs a prompt of each kind")
    return prompts


def _stories(path: Path, banned: dict[str, Banned], complete: bool) -> list[Story]:
    rows = _rows(path, Story)
    for line, story in enumerate(rows, 1):
        _check_story(f"{path.parent.name}/{path.name}:{line}", path.stem, story, banned)
    told = sorted(story.concept for story in rows)
    if complete and told != sorted(banned):
        raise CorpusError(f"{path.name} does not have exactly one story for each concept")
    if len(set(told)) != len(told):
        raise CorpusError(f"{path.name} has two stories for one concept")
    return rows


def _check_story(where: str, topic: str, story: Story, banned: dict[str, Banned]) -> None:
    if story.topic != topic:
        raise CorpusError(f"{where} has the topic {story.topic!r} in the file of {topic!r}")
    words = len(story.text.split())
    if not MIN_WORDS <= words <= MAX_WORDS:
        raise CorpusError(f"{where} has {words} words, not {MIN_WORDS} to {MAX_WORDS}")
    _check_text(where, story, banned)


def _check_text(where: str, row: Story | Scenario, banned: dict[str, Banned]) -> None:
    if row.concept not in banned:
        raise CorpusError(f"{where} has the unknown concept {row.concept!r}")
    if (phrase := banned[row.concept].found_in(row.text)) is not None:
        raise CorpusError(f"{where} names what it should show: {phrase!r}")


def _check_distinct(texts: list[str]) -> None:
    for text, count in Counter(texts).items():
        if count > 1:
            raise CorpusError(f"a text is in the corpus {count} times: {text[:60]!r}")


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
