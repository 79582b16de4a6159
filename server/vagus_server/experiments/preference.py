"""Preferences between activities: do readouts predict them, and does steering shift them?

Every ordered pair is asked, and the log-odds of A against B, averaged over both orders, give Elo
ratings. A concept's readout on an activity's tokens is compared with its rating. Then concepts
are steered on the tokens of one activity of a pair alone: every second activity is steered, in
pairs with some of the others, whose ratings stand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vagus import Characters, Reading, Readouts
from vagus_server.experiments.activities import Activity
from vagus_server.experiments.choice import Answer, Asker, Choice, steer
from vagus_server.experiments.elo import rating_against, ratings, win_chances
from vagus_server.experiments.session import Session
from vagus_server.experiments.statistics import Estimate, correlation, mean

_READ_AT_ONCE = 16


@dataclass(frozen=True)
class Settings:
    """What is asked.

    Args:
        activities: at least 4.
        concepts: that are read.
        steered: concepts that are steered too.
        controls: random directions that are read.
        steered_controls: random directions that are steered too.
        strength: in mean residual norms, at each of `sites`.
        sites: where is steered; together, for the few tokens of an activity.
        opponents: pairs that each steered activity is in, at most.
    """

    activities: Sequence[Activity]
    concepts: Sequence[str]
    steered: Sequence[str]
    controls: Sequence[str]
    steered_controls: Sequence[str]
    strength: float
    sites: Sequence[int]
    opponents: int


@dataclass(frozen=True)
class Read:
    """How a direction's readout goes with the ratings."""

    name: str
    #: Mean z-score on each activity's tokens, in their order.
    z: list[float]
    r: Estimate


@dataclass(frozen=True)
class Shift:
    """What steering a direction does to the ratings of the activities steered."""

    name: str
    #: Change of rating of each, in the order of `Outcome.steered_activities`.
    elo: list[float]
    mean: Estimate


@dataclass(frozen=True)
class Outcome:
    """All figures."""

    elo: list[float]
    #: Mean log-odds of A against B: what the place in the question does by itself.
    first_place_log_odds: float
    #: Share of answers in which A or B was not among the likeliest tokens.
    cut_share: float
    reads: list[Read]
    steered_activities: list[int]
    shifts: list[Shift]
    #: Over the concepts steered: mean shift against the r of their readout; None below 3.
    coupling: Estimate | None


async def measure(session: Session, settings: Settings, seed: int) -> Outcome:
    """Asks every ordered pair, reads every activity, then steers."""
    asker, rng = await Asker.of(session), np.random.default_rng(seed)
    texts = [activity.text for activity in settings.activities]
    pairs = [(i, j) for i in range(len(texts)) for j in range(len(texts)) if i != j]
    choices = {(i, j): asker.choice(texts[i], texts[j]) for i, j in pairs}
    answers = dict(
        zip(pairs, await session.each("asking", choices.values(), asker.ask), strict=True)
    )
    unordered = list(combinations(range(len(texts)), 2))
    first, second = np.array(unordered).T
    elo = ratings(first, second, _chances(answers, unordered), len(texts))
    directions = [*settings.concepts, *settings.controls]
    z = await _read(
        session, [choices[i, (i + 1) % len(texts)] for i in range(len(texts))], directions
    )
    reads = [Read(name, z[name].tolist(), correlation(z[name], elo, rng)) for name in directions]
    steered = list(range(0, len(texts), 2))
    shifts = await _steer(session, asker, settings, choices, answers, elo, rng)
    return Outcome(
        elo=elo.tolist(),
        first_place_log_odds=float(np.mean([a.log_odds for a in answers.values()])),
        cut_share=float(np.mean([a.cut for a in answers.values()])),
        reads=reads,
        steered_activities=steered,
        shifts=shifts,
        coupling=_coupling(settings, reads, shifts, rng),
    )


def _chances(
    answers: dict[tuple[int, int], Answer], pairs: Sequence[tuple[int, int]]
) -> np.ndarray:
    """Chance that the first of each pair is chosen, over both orders."""
    forward = np.array([answers[i, j].log_odds for i, j in pairs])
    backward = np.array([-answers[j, i].log_odds for i, j in pairs])
    return win_chances(forward, backward)


async def _read(
    session: Session, choices: Sequence[Choice], names: Sequence[str]
) -> dict[str, np.ndarray]:
    """Mean z-score of each direction on the first activity's tokens, [choices]."""
    batches = [choices[i : i + _READ_AT_ONCE] for i in range(0, len(choices), _READ_AT_ONCE)]

    async def read(batch: Sequence[Choice]) -> list[Reading]:
        # What comes after the activity cannot change the states at its tokens.
        texts = [choice.text[: choice.first.end] for choice in batch]
        return await session.client.read(texts, Readouts(names, prompt=True))

    readings = [r for part in await session.each("reading", batches, read) for r in part]
    means = [mean_at(r, c.first) for r, c in zip(readings, choices, strict=True)]
    return {name: np.array([row[name] for row in means]) for name in names}


def mean_at(reading: Reading, where: Characters) -> dict[str, float]:
    """Mean z-scores from the token of the first character on; the text ends with the last."""
    left, rows = (where.end or 0) - (where.start or 0), []
    # From the end: a tokenizer may put a token before the text that is no part of it.
    for token in reversed(reading.tokens):
        if left <= 0:
            break
        left -= len(token.text)
        if token.readout is not None:
            rows.append(token.readout.z)
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


async def _steer(
    session: Session,
    asker: Asker,
    settings: Settings,
    choices: dict[tuple[int, int], Choice],
    answers: dict[tuple[int, int], Answer],
    elo: np.ndarray,
    rng: np.random.Generator,
) -> list[Shift]:
    count = len(settings.activities)
    others = np.arange(1, count, 2)
    met = {i: rng.permutation(others)[: settings.opponents].tolist() for i in range(0, count, 2)}
    names = [*settings.steered, *settings.steered_controls]
    pairs = [(i, j) for i, opponents in met.items() for j in opponents]
    jobs = [(name, *pair) for name in names for i, j in pairs for pair in ((i, j), (j, i))]

    async def ask(job: tuple[str, int, int]) -> Answer:
        name, i, j = job
        choice = choices[i, j]
        where = choice.first if i in met else choice.second
        return await asker.ask(choice, steer(name, settings.strength, settings.sites, where))

    given = dict(zip(jobs, await session.each("steering", jobs, ask), strict=True))
    shifts = []
    for name in names:
        steered = {(i, j): given[name, i, j] for n, i, j in jobs if n == name}
        changes = []
        for i, opponents in met.items():
            own = [(i, j) for j in opponents]
            before = rating_against(elo[opponents], _chances(answers, own))
            changes.append(rating_against(elo[opponents], _chances(steered, own)) - before)
        shifts.append(Shift(name, changes, mean(changes, rng)))
    return shifts


def _coupling(
    settings: Settings, reads: Sequence[Read], shifts: Sequence[Shift], rng: np.random.Generator
) -> Estimate | None:
    r = {read.name: read.r.value for read in reads}
    both = [shift for shift in shifts if shift.name in settings.steered and shift.name in r]
    if len(both) < 3:
        return None
    x = np.array([r[shift.name] for shift in both])
    return correlation(x, np.array([shift.mean.value for shift in both]), rng)
