"""Chooses where to steer: which site changes the text most while it stays coherent.

At every candidate site, STRENGTH of the mean residual norm is added along a few concepts at all
positions while the model answers neutral prompts greedily. Then the replies are read again
without steering, so that what is measured is in the text and not in the addition itself.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from vagus_server.packs.activations import LanguageModel
from vagus_server.packs.replies import Addition, write_replies

STRENGTH = 0.3
CONCEPTS = ("desperate", "calm", "happy", "angry", "afraid", "loving")
REPLY_TOKENS = 40
_RANDOM = 2


@dataclass(frozen=True)
class Reading:
    """What unsteered reading finds in replies; each is a mean over prompts."""

    #: Mean projection over the reply's tokens, at the readout site, [concepts].
    projections: np.ndarray
    #: Mean negative log-probability of a token under the unsteered model, nats.
    surprise: float
    #: Share of a reply's bigrams that are distinct: low where it repeats itself.
    distinct: float


@dataclass(frozen=True)
class SitePoint:
    """The sweep's figures at one site."""

    site: int
    #: Rise of a concept's own readout against unsteered replies, in reference deviations.
    lift: dict[str, float]
    #: Mean absolute rise of these concepts when a random direction is added instead.
    random_lift: float
    #: Perplexity of steered replies divided by that of unsteered ones.
    perplexity_ratio: float
    random_perplexity_ratio: float
    #: Distinct share of bigrams, divided by that of unsteered replies.
    distinct_ratio: float

    @property
    def mean_lift(self) -> float:
        """Mean over concepts."""
        return sum(self.lift.values()) / len(self.lift)


@dataclass(frozen=True)
class Bounds:
    """What a steering site must keep to."""

    #: Deeper sites are left out: a readout there would not see what steering does.
    last_site: int
    #: Most that steered replies may surprise the unsteered model, against unsteered replies.
    perplexity: float = 2.5
    #: Least share of distinct bigrams, against unsteered replies.
    distinct: float = 0.9


def sweep(
    lm: LanguageModel,
    prompts: list[str],
    units: dict[str, np.ndarray],
    deviations: dict[str, float],
    norms: np.ndarray,
    readout_site: int,
    sites: list[int],
    seed: int,
) -> list[SitePoint]:
    """Measures every candidate site.

    Args:
        prompts: user turns that ask for nothing emotional.
        units: unit vectors of the concepts to steer, each [sites, hidden].
        deviations: reference deviation of each at the readout site.
        norms: mean residual norm per site.
        readout_site: where the replies are read.
        sites: the candidates.
        seed: of the random directions.
    """
    asked = [lm.encode_chat(prompt) for prompt in prompts]
    readers = np.stack([unit[readout_site] for unit in units.values()])
    scale = np.array([deviations[name] for name in units])
    plain = _read(lm, asked, write_replies(lm, asked, REPLY_TOKENS), readers, readout_site)
    rng = np.random.default_rng(seed)
    points = []
    for site in sites:
        random = rng.standard_normal((_RANDOM, lm.hidden_size))
        random /= np.linalg.norm(random, axis=1, keepdims=True)
        directions = np.concatenate([[unit[site] for unit in units.values()], random])
        rows = np.repeat(directions, len(asked), axis=0) * STRENGTH * norms[site]
        addition = Addition(site, torch.tensor(rows, dtype=torch.float32))
        replies = write_replies(lm, asked * len(directions), REPLY_TOKENS, addition=addition)
        readings = [
            _read(lm, asked, replies[start : start + len(asked)], readers, readout_site)
            for start in range(0, len(replies), len(asked))
        ]
        steered, null = readings[:-_RANDOM], readings[-_RANDOM:]
        rises = [(reading.projections - plain.projections) / scale for reading in readings]
        points.append(
            SitePoint(
                site=site,
                lift={name: float(rises[i][i]) for i, name in enumerate(units)},
                random_lift=float(np.abs(rises[-_RANDOM:]).mean()),
                perplexity_ratio=_ratio(steered, plain),
                random_perplexity_ratio=_ratio(null, plain),
                distinct_ratio=float(np.mean([r.distinct for r in steered]) / plain.distinct),
            )
        )
    return points


def _ratio(readings: list[Reading], plain: Reading) -> float:
    return float(np.exp(np.mean([reading.surprise for reading in readings]) - plain.surprise))


def _read(
    lm: LanguageModel,
    prompts: list[list[int]],
    replies: list[list[int]],
    readers: np.ndarray,
    site: int,
) -> Reading:
    projections, surprise, distinct = [], [], []
    for prompt, reply in zip(prompts, replies, strict=True):
        if len(reply) < 2:
            continue  # an empty reply has nothing to read; its absence shows in the samples
        residuals, log_probabilities = lm.read(prompt + reply)
        projections.append(readers @ residuals[site, len(prompt) :].mean(dim=0).numpy())
        next_token = log_probabilities[len(prompt) - 1 : -1]
        chosen = next_token.gather(1, torch.tensor(reply)[:, None])
        surprise.append(-float(chosen.mean()))
        bigrams = list(pairwise(reply))
        distinct.append(len(set(bigrams)) / len(bigrams))
    return Reading(np.mean(projections, axis=0), float(np.mean(surprise)), float(np.mean(distinct)))


def best(points: list[SitePoint], bounds: Bounds) -> int:
    """The site with the greatest lift among those within the bounds.

    Raises:
        ValueError: no site keeps within the bounds.
    """
    coherent = [
        point
        for point in points
        if point.site <= bounds.last_site
        and point.perplexity_ratio <= bounds.perplexity
        and point.distinct_ratio >= bounds.distinct
    ]
    if not coherent:
        raise ValueError("no candidate site keeps the text coherent")
    return max(coherent, key=lambda point: point.mean_lift).site
