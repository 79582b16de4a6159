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
from vagus_server.extract.measure import encode_prompts
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.plugin.wire import NO_END, OrderOperation

#: Shares of the mean residual norm, tried in this order.
STRENGTHS = (0.3, 0.15, 0.075)
CONCEPTS = ("desperate", "calm", "happy", "angry", "afraid", "loving")
REPLY_TOKENS = 40
#: Shorter replies have too few bigrams to judge.
_MIN_TOKENS = 8
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
    """What unsteered reading finds in a reply."""

    #: Mean projection over the reply's tokens, at the readout site, [concepts].
    projections: np.ndarray
    #: Mean negative log-probability of a token under the unsteered model, nats.
    surprise: float
    #: Share of the reply's bigrams that are distinct: low where it repeats itself.
    distinct: float


@dataclass(frozen=True)
class Shift:
    """What a program does to replies: means over the prompts whose replies can be compared.

    Everything is NaN where none can.
    """

    #: Rise of each readout, in reference deviations, [concepts].
    rise: np.ndarray
    #: Rise of the surprise, nats.
    surprise: float
    #: Distinct share of bigrams, and that of the unsteered replies to the same prompts.
    distinct: float
    plain_distinct: float


@dataclass(frozen=True)
class SitePoint:
    """The sweep's figures at one site; NaN where a program leaves no reply to compare."""

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
    asked = encode_prompts(engine, prompts, REPLY_TOKENS)
    plain = _readings(engine, asked, [()], steered, bar)[0]
    points = []
    for site in sites:
        length = steered.strength * float(steered.norms[site])
        programs: list[tuple[OrderOperation, ...]] = [
            (OrderOperation(ADD, vector, (site,), (length,), (0.0,), ((0, NO_END),)),)
            for vector in steered.vectors
        ]
        shifts = [
            shift(replies, plain, steered.deviations)
            for replies in _readings(engine, asked, programs, steered, bar)
        ]
        points.append(point(site, steered.names, shifts))
    return points


def shift(
    replies: list[Reading | None], plain: list[Reading | None], deviations: np.ndarray
) -> Shift:
    """Compares steered replies with the unsteered ones to the same prompts.

    Args:
        replies: by prompt; None where a reply is too short to be read.
        plain: likewise, unsteered.
        deviations: reference deviation of each concept, [concepts].
    """
    pairs = [(a, b) for a, b in zip(replies, plain, strict=True) if a and b]
    if not pairs:
        return Shift(np.full(len(deviations), np.nan), np.nan, np.nan, np.nan)
    return Shift(
        rise=np.mean([a.projections - b.projections for a, b in pairs], axis=0) / deviations,
        surprise=float(np.mean([a.surprise - b.surprise for a, b in pairs])),
        distinct=float(np.mean([a.distinct for a, _ in pairs])),
        plain_distinct=float(np.mean([b.distinct for _, b in pairs])),
    )


def point(site: int, names: list[str], shifts: list[Shift]) -> SitePoint:
    """A site's figures, from the shifts along each concept and then along RANDOM directions."""
    concepts, null = shifts[:-RANDOM], shifts[-RANDOM:]
    return SitePoint(
        site=site,
        lift={name: float(concepts[i].rise[i]) for i, name in enumerate(names)},
        random_lift=float(np.abs([one.rise for one in null]).mean()),
        perplexity_ratio=_ratio(concepts),
        random_perplexity_ratio=_ratio(null),
        distinct_ratio=float(
            np.mean([one.distinct for one in concepts])
            / np.mean([one.plain_distinct for one in concepts])
        ),
    )


def _readings(
    engine: OfflineEngine,
    asked: list[list[int]],
    programs: list[tuple[OrderOperation, ...]],
    steered: Steered,
    bar: Bar,
) -> list[list[Reading | None]]:
    """For each program a reading of the reply to each prompt; None where it is too short."""
    greedy = {"max_tokens": REPLY_TOKENS, "min_tokens": _MIN_TOKENS, "temperature": 0.0}
    writing = [Job(ids, operations=p, sampling=greedy) for p in programs for ids in asked]
    replies: list[list[int]] = [[] for _ in writing]
    for done in engine.run(writing):
        replies[done.index] = done.token_ids
        bar.update()
    # A reply of one token has no bigram.
    kept = [i for i, reply in enumerate(replies) if len(reply) > 1]
    reading = [
        Job(
            writing[i].token_ids + replies[i],
            spans=((len(writing[i].token_ids), NO_END),),
            sampling={"prompt_logprobs": 0},
        )
        for i in kept
    ]
    found: list[Reading | None] = [None] * len(writing)
    for done in engine.run(reading):
        i = kept[done.index]
        bigrams = list(pairwise(replies[i]))
        found[i] = Reading(
            projections=steered.units @ done.means[0, steered.readout_site],
            surprise=-float(np.mean(done.prompt_logprobs[-len(replies[i]) :])),
            distinct=len(set(bigrams)) / len(bigrams),
        )
    return [found[start : start + len(asked)] for start in range(0, len(found), len(asked))]


def _ratio(shifts: list[Shift]) -> float:
    """Perplexity under steering over that without."""
    return float(np.exp(np.mean([one.surprise for one in shifts])))


def best(points: list[SitePoint], bounds: Bounds) -> int | None:
    """The site with the greatest lift among those within the bounds; None where none is.

    A site at which some program leaves no reply to compare has figures that are NaN, which are
    within no bounds.
    """
    coherent = [
        point
        for point in points
        if point.site <= bounds.last_site
        and point.perplexity_ratio <= bounds.perplexity
        and point.distinct_ratio >= bounds.distinct
    ]
    return max(coherent, key=lambda point: point.mean_lift).site if coherent else None
