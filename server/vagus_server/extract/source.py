"""What concepts are extracted from: labelled stories, contrasting texts, neutral ones, prompts."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import numpy as np

from vagus_server.packs.corpus import Corpus, Prompts
from vagus_server.packs.user_corpus import UserCorpus


@dataclass(frozen=True)
class Contrasts:
    """Concepts that are the difference between two kinds of text.

    Args:
        descriptions: by name, in the order of the labels.
        texts: of all contrasts in any order; can be iterated more than once.
        contrast: [texts], index of each one's contrast.
        positive: [texts], boolean: which of the two kinds it is.
    """

    descriptions: dict[str, str] = field(default_factory=dict)
    texts: Iterable[str] = ()
    contrast: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    positive: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=bool))


@dataclass(frozen=True)
class Source:
    """All texts that a pack is made from.

    Args:
        descriptions: of the concepts that have stories, by name, in the order of the labels.
        stories: their texts; can be iterated more than once.
        concept: [stories], index of each one's concept.
        topic: [stories], any integers; a topic is left out as a whole when vectors are tested.
        contrasts: further concepts.
        neutral: texts in which nothing is felt.
        prompts: what users ask.
        digest: SHA-256 of it all, hexadecimal.
        facts: what the manifest says of it.
        first_person: [stories], boolean; the direction between the stories in the first person
            and the others is taken out of the concepts' vectors. None where it is not known, or
            all are told in the same person.
    """

    descriptions: dict[str, str]
    stories: Iterable[str]
    concept: np.ndarray
    topic: np.ndarray
    neutral: list[str]
    prompts: Prompts
    digest: str
    contrasts: Contrasts = field(default_factory=Contrasts)
    facts: dict[str, str] = field(default_factory=dict)
    first_person: np.ndarray | None = None


def of_corpus(corpus: Corpus, prompts: Prompts | None = None) -> Source:
    """The bundled corpus, or another in its format; `prompts` stand in for its own."""
    names, topics = sorted(corpus.concepts), corpus.topics
    index = {name: i for i, name in enumerate(names)}
    concept = np.array([index[story.concept] for story in corpus.stories])
    first = np.array([story.person == "first" for story in corpus.stories])
    return Source(
        descriptions={name: corpus.concepts[name].means for name in names},
        stories=[story.text for story in corpus.stories],
        concept=concept,
        topic=np.array([topics.index(story.topic) for story in corpus.stories]),
        neutral=[row.text for row in corpus.neutral],
        prompts=prompts or corpus.prompts,
        digest=corpus.digest,
        facts={
            "corpus": (
                f"{len(corpus.stories)} stories, {len(names)} concepts, {len(topics)} topics, "
                f"{len(corpus.neutral)} neutral texts"
            ),
            "person": _person(first, concept),
        }
        | (_prompt_facts(prompts) if prompts else {}),
        first_person=first if len(set(first.tolist())) == 2 else None,
    )


def _person(first: np.ndarray, concept: np.ndarray) -> str:
    """Says in which person the stories are told, and what was done about it."""
    number, total = int(first.sum()), len(first)
    if number in (0, total):
        person = "first" if number else "third"
        return f"all stories are told in the {person} person; nothing is projected out for it"
    by_concept = np.bincount(concept, first), np.bincount(concept)
    half = bool((2 * by_concept[0] == by_concept[1]).all())
    which = "half of each concept's" if half else f"{number} of {total}"
    return (
        f"{which} stories are told in the first person; the direction between these and the "
        "others is projected out of the vectors"
    )


def _prompt_facts(prompts: Prompts) -> dict[str, str]:
    return {"prompts_sha256": hashlib.sha256(msgspec.json.encode(prompts)).hexdigest()}


class _Again(Iterable[str]):
    """Texts that are read from their file each time."""

    def __init__(self, read: Callable[[], Iterator[str]]) -> None:
        self._read = read

    def __iter__(self) -> Iterator[str]:
        return self._read()


def of_user_corpus(corpus: UserCorpus, prompts: Prompts) -> Source:
    """A corpus that a user supplies; its texts stay in their files."""
    names, topics = list(corpus.stories), corpus.topics
    concept_at = {name: i for i, name in enumerate(names)}
    topic_at = {topic: i for i, topic in enumerate(topics)}
    labels = [(concept_at[s.concept], topic_at[s.topic]) for s in corpus.iter_stories()]
    concept, topic = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    total = sum(corpus.stories.values())
    facts = {
        "corpus": (
            f"{corpus.path.name}: {total} stories of {len(names)} concepts on {len(topics)} "
            f"topics, {len(corpus.contrasts)} contrasts; {corpus.neutral} neutral texts"
        ),
        **_prompt_facts(prompts),
    }
    if corpus.skipped:
        reasons = (f"{count} for {reason}" for reason, count in sorted(corpus.skipped.items()))
        facts["corpus_rows_left_out"] = ", ".join(reasons)
    return Source(
        descriptions={name: f"{corpus.stories[name]} stories" for name in names},
        stories=_Again(lambda: (story.text for story in corpus.iter_stories())),
        concept=concept,
        topic=topic,
        neutral=list(corpus.iter_neutral()),
        prompts=prompts,
        digest=corpus.digest,
        contrasts=_contrasts(corpus),
        facts=facts,
    )


def _contrasts(corpus: UserCorpus) -> Contrasts:
    at = {name: i for i, name in enumerate(corpus.contrasts)}
    labels = [(at[one.concept], one.positive) for one in corpus.iter_sides()] if at else []
    contrast, positive = np.array(labels, dtype=np.int64).reshape(-1, 2).T
    return Contrasts(
        descriptions={
            name: f"{sides.positive} texts against {sides.negative}"
            for name, sides in corpus.contrasts.items()
        },
        texts=_Again(lambda: (one.text for one in corpus.iter_sides())) if at else (),
        contrast=contrast,
        positive=positive.astype(bool),
    )
