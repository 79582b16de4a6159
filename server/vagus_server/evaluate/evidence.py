"""What all checks share: labelled means, the pack's vectors, and the two nulls of both."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vagus_server.evaluate.measure import Measured
from vagus_server.evaluate.result import Null
from vagus_server.evaluate.texts import Texts
from vagus_server.extract.heldout import shuffled
from vagus_server.extract.vectors import (
    concept_vectors,
    neutral_components,
    remove_components,
    unit,
)
from vagus_server.packs.corpus import Corpus
from vagus_server.packs.pack import Pack

#: Draws of each null.
NULLS = 100


@dataclass(frozen=True)
class Evidence:
    """A pack, its corpus, and what the engine measured.

    Args:
        pack: what is judged.
        corpus: with the texts that its vectors were made of.
        texts: written for the evaluation.
        measured: means of it all.
        neutral_share: of the neutral texts' variance that the pack's recipe projects out.
        seed: of everything that is drawn.
    """

    pack: Pack
    corpus: Corpus
    texts: Texts
    measured: Measured
    neutral_share: float = 0.5
    seed: int = 0

    @property
    def site(self) -> int:
        """The readout site."""
        return self.pack.readout_site

    @property
    def names(self) -> list[str]:
        """Concepts of the corpus, sorted: the order of all labels and vectors here."""
        return sorted(self.corpus.concepts)

    def rng(self) -> np.random.Generator:
        """A generator; every check starts its own, so that none depends on another."""
        return np.random.default_rng(self.seed)

    def index(self, concepts: list[str]) -> np.ndarray:
        """Indices of concepts in `names`."""
        at = {name: i for i, name in enumerate(self.names)}
        return np.array([at[name] for name in concepts], dtype=np.int64)

    @cached_property
    def concept(self) -> np.ndarray:
        """Concept of every story, [stories]."""
        return self.index([story.concept for story in self.corpus.stories])

    @cached_property
    def topic(self) -> np.ndarray:
        """Topic of every story, [stories]."""
        topics = self.corpus.topics
        return np.array([topics.index(story.topic) for story in self.corpus.stories])

    @cached_property
    def vectors(self) -> np.ndarray:
        """The pack's vectors at the readout site, float64 [concepts, hidden]."""
        rows = [self.pack.index[name] for name in self.names]
        return self.pack.vectors[rows, self.site].astype(np.float64)

    @cached_property
    def units(self) -> np.ndarray:
        """Their directions."""
        return unit(self.vectors)

    @cached_property
    def centre(self) -> np.ndarray:
        """Mean of all stories at the readout site, float64 [hidden]."""
        return np.asarray(self.measured.stories[:, self.site].mean(axis=0, dtype=np.float64))

    @cached_property
    def components(self) -> list[np.ndarray]:
        """The neutral components of every site."""
        return neutral_components(self.measured.neutral, self.neutral_share)

    @cached_property
    def random_vectors(self) -> np.ndarray:
        """Random directions, as long as the pack's vectors, [NULLS, concepts, hidden]."""
        drawn = self.rng().standard_normal((NULLS, *self.vectors.shape))
        return np.asarray(unit(drawn) * np.linalg.norm(self.vectors, axis=1)[:, None])

    @cached_property
    def shuffled_vectors(self) -> np.ndarray:
        """The recipe on stories whose concepts are permuted, [NULLS, concepts, hidden]."""
        return np.stack([self._shuffled(rng) for rng in self.rng().spawn(NULLS)])

    def _shuffled(self, rng: np.random.Generator) -> np.ndarray:
        labels = shuffled(self.concept, self.topic, rng)
        vectors = concept_vectors(self._at_site, labels, len(self.names))
        mine = self.components[self.site : self.site + 1]
        return np.asarray(remove_components(vectors, mine)[:, 0])

    @cached_property
    def _at_site(self) -> np.ndarray:
        return np.asarray(self.measured.stories[:, self.site : self.site + 1])

    def null(self, statistic: Callable[[np.ndarray], float | np.ndarray]) -> Null:
        """What a statistic of vectors [concepts, hidden] is by chance, [NULLS, ...]."""
        return Null(
            random=np.array([statistic(vectors) for vectors in self.random_vectors]),
            shuffled=np.array([statistic(vectors) for vectors in self.shuffled_vectors]),
        )
