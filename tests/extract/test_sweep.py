"""The sweep's figures, and the choice of the steering site."""

import json
import math
from itertools import count

import numpy as np
import pytest

from support.fake_offline import HIDDEN, SITES, FakeOffline
from vagus_server.extract.bar import progress
from vagus_server.extract.offline import Job
from vagus_server.extract.provenance import sweep_facts
from vagus_server.extract.sweep import (
    Bounds,
    Reading,
    SitePoint,
    Steered,
    best,
    point,
    shift,
    sweep,
)

DEVIATIONS = np.array([2.0, 4.0])


def site_point(site: int, lift: float, perplexity: float = 1.0, distinct: float = 1.0) -> SitePoint:
    """A site of the sweep."""
    return SitePoint(site, {"calm": lift, "sad": lift}, 0.0, perplexity, 1.0, distinct)


def reading(projection: float, surprise: float = 1.0, distinct: float = 0.5) -> Reading:
    """A reply that is read."""
    return Reading(np.array([projection, 0.0]), surprise, distinct)


def test_the_greatest_lift_within_the_bounds_wins() -> None:
    points = [
        site_point(5, 1.0),
        site_point(6, 2.0),
        site_point(7, 9.0, perplexity=2.6),
        site_point(8, 9.0, distinct=0.8),
        site_point(9, 9.0),
    ]
    assert best(points, Bounds(last_site=8)) == 6
    assert best(points, Bounds(last_site=9)) == 9


def test_where_no_site_is_within_the_bounds_none_is_best() -> None:
    assert best([site_point(5, 1.0, perplexity=3.0)], Bounds(last_site=9)) is None


def test_a_reply_is_compared_with_the_one_to_the_same_prompt() -> None:
    plain: list[Reading | None] = [reading(100.0, 5.0, 0.9), reading(1.0), reading(2.0), None]
    # The first prompt, which differs most from the others, has no steered reply.
    steered: list[Reading | None] = [None, reading(3.0, 1.5), reading(6.0, 2.5, 0.3), reading(50.0)]
    found = shift(steered, plain, DEVIATIONS)
    assert found.rise.tolist() == [1.5, 0.0]
    assert found.surprise == 1.0
    assert (found.distinct, found.plain_distinct) == (0.4, 0.5)


def test_a_program_without_replies_makes_its_site_incoherent() -> None:
    plain: list[Reading | None] = [reading(1.0), reading(2.0)]
    good = shift([reading(9.0), reading(9.0)], plain, DEVIATIONS)
    nothing = shift([None, None], plain, DEVIATIONS)
    whole = point(5, ["calm", "sad"], [good] * 4)
    assert (whole.perplexity_ratio, whole.distinct_ratio) == (1.0, 1.0)
    assert best([whole, point(6, ["calm", "sad"], [good, nothing, good, good])], Bounds(9)) == 5
    # A random direction without replies says nothing of the concepts.
    null = point(6, ["calm", "sad"], [good, good, nothing, good])
    assert math.isnan(null.random_lift)
    assert best([null], Bounds(9)) == 6


def test_figures_that_are_missing_are_null_in_the_manifest() -> None:
    facts = sweep_facts([site_point(5, math.nan, math.nan)], Bounds(9), 0.3)
    (row,) = json.loads(facts["steering_sweep"], parse_constant=pytest.fail)
    assert row["calm"] is row["mean_lift"] is row["perplexity_ratio"] is None
    assert row["site"] == 5


def test_replies_of_one_token_end_no_sweep() -> None:
    numbers = count(2)

    def reply(job: Job) -> list[int]:
        if "max_tokens" not in job.sampling:
            return [1]  # a reply that is read again
        assert job.sampling["min_tokens"] == 8
        return [1] if job.operations else [next(numbers) for _ in range(9)]

    steered = Steered(
        names=["calm"],
        vectors=[1, 2, 3],
        units=np.ones((1, HIDDEN)),
        deviations=np.ones(1),
        norms=np.ones(SITES),
        readout_site=1,
        strength=0.3,
    )
    engine = FakeOffline(reply=reply)
    with progress("sweep", 0) as bar:
        points = sweep(engine, ["a b", "c d"], steered, [0, 1], bar)  # type: ignore[arg-type]
    assert [one.site for one in points] == [0, 1]
    assert best(points, Bounds(last_site=1)) is None
