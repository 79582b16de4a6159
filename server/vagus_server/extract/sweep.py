"""Chooses where to steer: which site changes the text most while it stays coherent.

At every candidate site, a share of the mean residual norm is added along a few concepts at all
positions while the model answers neutral prompts greedily. Then the replies are read again
without steering, so that what is measured is in the text and not in the addition itself. Where no
site bears the share, a smaller one is tried.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vagus_kernels.layout import ADD
from vagus_server.extract.bar import Bar
from vagus_server.extract.measure import encode_chat
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.plugin.wire import NO_END, OrderOperation

#: Shares of the mean residual norm, tried in this order.
STRENGTHS = (0.3, 0.15, 0.075)
CONCEPTS = ("desperate", "calm", "happy", "angry", "afraid", "loving")
REPLY_TOKENS = 40
RANDOM = 2


@dataclass(frozen=True)
class Steered:
    """What is steered with, and how it is read.

    Args:
        names: of the concepts.
        vectors: their index in the engine's vector bank; the random directions' come after.
        units: unit directions of the concepts at the readout site, [concepts, hidden].
        deviations: reference deviation of each there.
        norms: mean residual norm per site.
        readout_site: where replies are read.
        strength: what is added, as a share of the mean residual norm.
    """

    names: list[str]
    vectors: list[int]
    units: np.ndarray
    deviations: np.ndarray
    norms: np.ndarray
    readout_site: int
    strength: float


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
    engine: OfflineEngine, prompts: list[str], steered: Steered, sites: list[int], bar: Bar
) -> list[SitePoint]:
    """Measures every candidate site.

    Args:
        engine: its vector bank holds the concepts and RANDOM random directions.
        prompts: user turns that ask for nothing emotional.
        steered: the concepts.
        sites: the candidates.
        bar: told of every reply written, len(prompts) * (1 + len(sites) * len(vectors)).
    """
    asked = [encode_chat(engine.tokenizer, prompt) for prompt in prompts]
    plain = _readings(engine, asked, [()], steered, bar)[0]
    points = []
    for site in sites:
        length = steered.strength * float(steered.norms[site])
        programs: list[tuple[OrderOperation, ...]] = [
            (OrderOperation(ADD, vector, (site,), (length,), (0.0,), ((0, NO_END),)),)
            for vector in steered.vectors
        ]
        readings = _readings(engine, asked, programs, steered, bar)
        rises = [(r.projections - plain.projections) / steered.deviations for r in readings]
        concepts, null = readings[:-RANDOM], readings[-RANDOM:]
        points.append(
            SitePoint(
                site=site,
                lift={name: float(rises[i][i]) for i, name in enumerate(steered.names)},
                random_lift=float(np.abs(rises[-RANDOM:]).mean()),
                perplexity_ratio=_ratio(concepts, plain),
                random_perplexity_ratio=_ratio(null, plain),
                distinct_ratio=float(np.mean([r.distinct for r in concepts]) / plain.distinct),
            )
        )
    return points


def _readings(
    engine: OfflineEngine,
    asked: list[list[int]],
    programs: list[tuple[OrderOperation, ...]],
    steered: Steered,
    bar: Bar,
) -> list[Reading]:
    """One reading per program, over the replies to all prompts."""
    greedy = {"max_tokens": REPLY_TOKENS, "temperature": 0.0}
    writing = [Job(ids, operations=p, sampling=greedy) for p in programs for ids in asked]
    replies: list[list[int]] = [[] for _ in writing]
    for done in engine.run(writing):
        replies[done.index] = done.token_ids
        bar.update()
    # A reply of one token has no bigram; that it is so short shows in the samples.
    kept = [i for i, reply in enumerate(replies) if len(reply) > 1]
    reading = [
        Job(
            writing[i].token_ids + replies[i],
            spans=((len(writing[i].token_ids), NO_END),),
            sampling={"prompt_logprobs": 0},
        )
        for i in kept
    ]
    found: list[tuple[np.ndarray, float, float] | None] = [None] * len(writing)
    for done in engine.run(reading):
        i = kept[done.index]
        bigrams = list(pairwise(replies[i]))
        found[i] = (
            steered.units @ done.means[0, steered.readout_site],
            -float(np.mean(done.prompt_logprobs[-len(replies[i]) :])),
            len(set(bigrams)) / len(bigrams),
        )
    return [
        _mean([row for row in found[start : start + len(asked)] if row is not None])
        for start in range(0, len(found), len(asked))
    ]


def _mean(rows: list[tuple[np.ndarray, float, float]]) -> Reading:
    projections, surprise, distinct = zip(*rows, strict=True)
    return Reading(np.mean(projections, axis=0), float(np.mean(surprise)), float(np.mean(distinct)))


def _ratio(readings: list[Reading], plain: Reading) -> float:
    return float(np.exp(np.mean([reading.surprise for reading in readings]) - plain.surprise))


def best(points: list[SitePoint], bounds: Bounds) -> int | None:
    """The site with the greatest lift among those within the bounds; None where none is."""
    coherent = [
        point
        for point in points
        if point.site <= bounds.last_site
        and point.perplexity_ratio <= bounds.perplexity
        and point.distinct_ratio >= bounds.distinct
    ]
    return max(coherent, key=lambda point: point.mean_lift).site if coherent else None
