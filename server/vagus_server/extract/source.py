"""What concepts are extracted from: labelled stories, contrasting texts, neutral ones, prompts."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from vagus_server.packs.corpus import Corpus, Prompts


@dataclass(frozen=True)
class Contrast:
    """A concept that is the difference between two kinds of text."""

    name: str
    description: str
    positive: list[str]
    negative: list[str]


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
            and the others is taken out of the concepts' vectors. None where it is not known.
    """

    descriptions: dict[str, str]
    stories: Iterable[str]
    concept: np.ndarray
    topic: np.ndarray
    neutral: list[str]
    prompts: Prompts
    digest: str
    contrasts: list[Contrast] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    first_person: np.ndarray | None = None


def of_corpus(corpus: Corpus) -> Source:
    """The bundled corpus, or another in its format."""
    names, topics = sorted(corpus.concepts), corpus.topics
    index = {name: i for i, name in enumerate(names)}
    return Source(
        descriptions={name: corpus.concepts[name].means for name in names},
        stories=[story.text for story in corpus.stories],
        concept=np.array([index[story.concept] for story in corpus.stories]),
        topic=np.array([topics.index(story.topic) for story in corpus.stories]),
        neutral=[row.text for row in corpus.neutral],
        prompts=corpus.prompts,
        digest=corpus.digest,
        facts={
            "corpus": (
                f"{len(corpus.stories)} stories, {len(names)} concepts, {len(topics)} topics, "
                f"{len(corpus.neutral)} neutral texts"
            ),
            "person": (
                "half of each concept's stories are told in the first person; the direction "
                "between these and the others is projected out of the vectors"
            ),
        },
        first_person=np.array([story.person == "first" for story in corpus.stories]),
    )
