"""Whether text still holds together: how it repeats itself, and how it surprises the model."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Bounds:
    """What coherent text keeps to, against unsteered text of the same model.

    The defaults are those by which a pack's steering site is chosen.

    Args:
        perplexity: most that its perplexity under the unsteered model may have grown, as a ratio.
        distinct: least share that its distinct-2 may have left, as a ratio.
    """

    perplexity: float = 2.5
    distinct: float = 0.9


@dataclass(frozen=True)
class Coherence:
    """Of one text."""

    #: Mean negative log-probability of a token under the unsteered model, nats.
    surprise: float
    #: Share of its bigrams of tokens that are distinct.
    distinct: float


def distinct_share(tokens: Sequence[int]) -> float:
    """Distinct-2 of a text; 1 where it has no two bigrams to compare."""
    bigrams = list(pairwise(tokens))
    return len(set(bigrams)) / len(bigrams) if bigrams else 1.0


def ratios(texts: Sequence[Coherence], plain: Sequence[Coherence]) -> tuple[float, float]:
    """Perplexity and distinct-2 of texts, each divided by those of unsteered ones."""
    surprise = np.mean([t.surprise for t in texts]) - np.mean([t.surprise for t in plain])
    distinct = np.mean([t.distinct for t in texts]) / np.mean([t.distinct for t in plain])
    return float(np.exp(surprise)), float(distinct)


def holds(perplexity_ratio: float, distinct_ratio: float, bounds: Bounds) -> bool:
    """Whether both ratios are within the bounds."""
    return perplexity_ratio <= bounds.perplexity and distinct_ratio >= bounds.distinct
