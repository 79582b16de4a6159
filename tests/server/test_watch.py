"""Policies: the vectorised scheduler side against one token after the other."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.plugin.watch import Crossing, Watches
from vagus_server.plugin.wire import OrderPolicy, Step

SHAPE = (1, 3, 2)
PROMPT = 4


def policy(**fields: Any) -> OrderPolicy:
    defaults: dict[str, Any] = {
        "site": 0,
        "concept": 1,
        "mean": 0.0,
        "deviation": 1.0,
        "sign": 1,
        "begin": 2.0,
        "cease": 1.0,
        "share": 1.0,
        "after": 1,
    }
    return OrderPolicy(**(defaults | fields))


def step(*requests: tuple[str, int, list[float]]) -> Step:
    """One pass: ids, first position read, and the readout of concept 1 at each position."""
    spans, positions, rows = [], [], []
    for _, start, values in requests:
        spans.append([start, len(values), len(values), 0, 0])
        positions += range(start, start + len(values))
        for value in values:
            row = np.full(SHAPE, np.nan, dtype="<f4")
            row[0, 1, 1] = value
            rows.append(row)
    return Step(
        ids=[name for name, _, _ in requests],
        spans=np.array(spans, dtype="<i4").tobytes(),
        positions=np.array(positions, dtype="<i4").tobytes(),
        readouts=np.array(rows, dtype="<f4").tobytes(),
    )


def watching(*policies: OrderPolicy, ids: tuple[str, ...] = ("a",)) -> Watches:
    watches = Watches(SHAPE)
    for name in ids:
        watches.add(name, policies, PROMPT - 1)
    return watches


def run(watches: Watches, values: list[float], name: str = "a") -> list[Crossing]:
    """One token a step."""
    found = []
    for n, value in enumerate(values):
        position = PROMPT - 1 + n
        found += watches.see(watches.rows(step((name, position, [value]))), {name: position + 1})
    return found


def test_it_begins_and_ceases_with_hysteresis() -> None:
    found = run(watching(policy()), [0, 1.9, 2.0, 1.5, 1.0, 0.9, 1.5, 2.5])
    assert [(c.begins, c.position, c.value) for c in found] == [
        (True, PROMPT + 1, 2.0),
        (False, PROMPT + 4, pytest.approx(0.9)),
        (True, PROMPT + 6, 2.5),
    ]


def test_smoothing_is_a_mean_first_and_exponential_then() -> None:
    watches = watching(policy(begin=-10.0, cease=-20.0, share=0.5, after=4))
    (crossing,) = run(watches, [4, 2, 8, 0])
    smoothed = 4.0
    smoothed += (2 - smoothed) / 2
    smoothed += (8 - smoothed) * 0.5
    smoothed += (0 - smoothed) * 0.5
    assert crossing == Crossing("a", 0, True, PROMPT + 2, smoothed)


def test_bounds_below() -> None:
    watches = watching(policy(mean=1.0, deviation=2.0, sign=-1, begin=1.0, cease=0.0))
    # z = -(x - 1) / 2: at least 1 where x <= -1, under 0 where x > 1.
    found = run(watches, [0.0, -1.0, 1.0, 1.1])
    assert [(c.begins, c.position) for c in found] == [(True, PROMPT), (False, PROMPT + 2)]


def test_what_is_not_a_number_begins() -> None:
    (crossing,) = run(watching(policy()), [0.0, float("nan"), 0.0])
    assert (crossing.begins, crossing.position) == (True, PROMPT)


def test_rejected_drafts_and_what_is_computed_anew_do_not_count() -> None:
    watches = watching(policy())
    at = PROMPT - 1
    assert watches.see(watches.rows(step(("a", at, [0, 5, 5]))), {"a": at + 1}) == []
    assert watches.see(watches.rows(step(("a", at, [9, 9]))), {"a": at + 1}) == [], "seen already"
    found = watches.see(watches.rows(step(("a", at + 1, [0, 3, 0.5]))), {"a": at + 4})
    assert [(c.begins, c.position) for c in found] == [(True, at + 2), (False, at + 3)]


def test_the_parts_of_a_changed_request_count_as_one() -> None:
    """A change holds from position 5 on, in a pass that has an accepted draft."""
    watches = watching(policy(begin=8.0), ids=("a", "b"))
    parts = step(("a", 4, [0.0]), ("a", 5, [0.0]), ("b", 3, [9.0]))
    watches.see(watches.rows(step(("a", 3, [0.0]))), {})
    assert watches.several(watches.rows(parts)) == ["a"]
    assert [c.id for c in watches.see(watches.rows(parts), {"a": 6})] == ["b"]
    found = []
    for position in range(6, 10):
        found += watches.see(watches.rows(step(("a", position, [9.0]))), {})
    assert [(c.begins, c.position) for c in found] == [(True, 6)]


def test_rows_of_parts_are_seen_in_order() -> None:
    watches = watching(policy())
    parts = step(("a", 3, [0.0, 3.0]), ("a", 5, [0.0, 3.0]), ("a", 7, []))
    found = watches.see(watches.rows(parts), {"a": 7})
    assert [(c.begins, c.position) for c in found] == [(True, 4), (False, 5), (True, 6)]


def test_prompt_tokens_do_not_count() -> None:
    watches = watching(policy())
    assert watches.see(watches.rows(step(("a", 0, [9.0, 9.0, 9.0]))), {"a": 2}) == []
    assert len(watches.see(watches.rows(step(("a", 0, [9.0, 9.0, 9.0, 9.0]))), {"a": 4})) == 1


def test_a_request_is_forgotten_and_its_place_taken() -> None:
    watches = watching(policy(after=2), ids=("a", "b"))
    run(watches, [5, 5], "a")
    watches.remove("a")
    assert "a" not in watches
    assert len(watches) == 1
    watches.add("c", (policy(after=2),), PROMPT - 1)
    assert run(watches, [5], "c") == [], "it starts from nothing"


@dataclass
class Slow:
    """One policy on one request, by the words of the documentation."""

    policy: OrderPolicy
    values: list[float] = field(default_factory=list)
    smoothed: float = 0.0
    acts: bool = False

    def see(self, value: float) -> bool | None:
        """Whether it begins (True) or ceases (False)."""
        p = self.policy
        self.values.append(value)
        z = p.sign * (value - p.mean) / p.deviation
        count = len(self.values)
        share = max(p.share, 1 / count)
        self.smoothed += share * (z - self.smoothed)
        if not self.acts and count >= p.after and self.smoothed >= p.begin:
            self.acts = True
            return True
        if self.acts and self.smoothed < p.cease:
            self.acts = False
            return False
        return None


POLICIES = st.builds(
    policy,
    mean=st.sampled_from([0.0, -1.0]),
    deviation=st.sampled_from([0.5, 2.0]),
    sign=st.sampled_from([1, -1]),
    begin=st.sampled_from([0.5, 1.0, 2.0]),
    cease=st.sampled_from([-1.0, 0.0, 0.5]),
    share=st.sampled_from([1.0, 0.5, 2 / 17]),
    after=st.integers(1, 4),
)


@examples
@given(
    st.lists(st.lists(POLICIES, min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=1, max_size=60),
    st.integers(0, 1000),
)
def test_any_number_of_requests_in_any_batches(
    sets: list[list[OrderPolicy]], values: list[float], seed: int
) -> None:
    """Hysteresis holds under any input: begin and cease alternate, each at its bound."""
    random, watches = Random(seed), Watches(SHAPE)
    slow = {str(n): [Slow(p) for p in policies] for n, policies in enumerate(sets)}
    rest = {str(n): values[n:] for n in range(len(sets))}
    at = dict.fromkeys(slow, PROMPT - 1)
    for n, policies in enumerate(sets):
        watches.add(str(n), tuple(policies), PROMPT - 1)
    while any(rest.values()):
        batch, ends, want = [], {}, []
        for name in sorted(slow):
            count = random.randint(0, min(3, len(rest[name])))
            taken, rest[name] = rest[name][:count], rest[name][count:]
            if not taken:
                continue
            batch.append((name, at[name], taken))
            for value in taken:
                for k, one in enumerate(slow[name]):
                    begins = one.see(float(np.float32(value)))
                    if begins is not None:
                        want.append((name, k, begins, at[name]))
                at[name] += 1
            ends[name] = at[name]
        if batch:
            found = watches.see(watches.rows(step(*batch)), ends)
            assert sorted((c.id, c.policy, c.begins, c.position) for c in found) == sorted(want)


def test_policies_travel_with_an_order() -> None:
    one = policy(stops=True)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one), type=OrderPolicy) == one
