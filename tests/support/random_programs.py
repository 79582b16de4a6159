"""Random programs and requests, from the whole of the steering language."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from support.calls import ABSOLUTE, RESIDUAL, VECTOR
from vagus.v1 import steering_pb2 as pb

SITES = 30
CONCEPTS = ("calm", "desperate", "happy", "sad", "angry", "afraid", "proud", "guilty", "loving")
#: Long enough for several chunks and cache blocks of the small servers; with shared beginnings.
TEXTS = (
    "The letter lay on the kitchen table.",
    "The letter lay on the kitchen table. She read it twice, then put it under the clock.",
    "A ferry came in. " * 12 + "Nobody got off.",
    "A ferry came in. " * 12 + "One man got off, and he was whistling.",
    "Zürich, 3 May: «Schnee», she wrote — and again: 雪.",
    "x",
)


def _number(low: float, high: float) -> st.SearchStrategy[float]:
    return st.integers(0, 1000).map(lambda i: low + (high - low) * i / 1000)


def _range(low: int, high: int) -> st.SearchStrategy[pb.Range]:
    bound = st.none() | st.integers(low, high)

    def valid(pair: tuple[int | None, int | None]) -> bool:
        a, b = pair
        return a is None or b is None or (a < 0) != (b < 0) or a < b

    return st.tuples(bound, bound).filter(valid).map(lambda p: pb.Range(start=p[0], end=p[1]))


_RULES = (
    st.sampled_from([pb.PHASE_PROMPT, pb.PHASE_GENERATION, pb.PHASE_ALL]).map(
        lambda phase: pb.ScopeRule(phase=phase)
    ),
    _range(-12, 60).map(lambda r: pb.ScopeRule(positions=r)),
    _range(0, 9).map(lambda r: pb.ScopeRule(generated=r)),
    st.just(pb.ScopeRule(generated=pb.Range(start=1, end=2**31 - 1))),
    st.just(pb.ScopeRule(last_prompt_token=True)),
)
_CHARACTERS = _range(0, 1).map(lambda r: pb.ScopeRule(characters=r))


def _scopes(rules: st.SearchStrategy[pb.ScopeRule]) -> st.SearchStrategy[pb.Scope]:
    return st.builds(
        lambda include, excepted: pb.Scope(include=include, **{"except": excepted}),
        st.lists(rules, max_size=2),
        st.lists(rules, max_size=1),
    )


envelopes = st.builds(
    lambda ramp, half: pb.Envelope(ramp_tokens=ramp, half_life_tokens=half),
    st.none() | st.integers(1, 9),
    st.none() | _number(0.5, 20),
).filter(lambda e: e.ByteSize() > 0)


def _actions(draw: Any, count: int) -> dict[str, Any]:
    """One action; strengths of a size that leaves the model a model, over `count` sites."""
    unit = draw(st.sampled_from([RESIDUAL, VECTOR, ABSOLUTE]))
    size = {RESIDUAL: 0.3, VECTOR: 2.0, ABSOLUTE: 20.0}[unit] / count
    kind = draw(st.sampled_from(["add", "add", "ablate", "set", "clamp"]))
    if kind == "add":
        return {"add": pb.Add(strength=draw(_number(-size, size)), unit=unit)}
    if kind == "ablate":
        return {"ablate": pb.Ablate(share=draw(st.none() | _number(0, 1)))}
    if kind == "set":
        return {"set": pb.Set(value=draw(_number(-size, size)), unit=unit)}
    lower, upper = sorted((draw(_number(-size, size)), draw(_number(-size, size))))
    lower, upper = draw(st.sampled_from([(lower, upper), (lower, None), (None, upper)]))
    return {"clamp": pb.Clamp(lower=lower, upper=upper, unit=unit)}


def _gate(draw: Any, acting: list[int], concepts: st.SearchStrategy[str]) -> pb.Gate:
    site = draw(st.none() | st.integers(0, min(acting, default=0)))
    z_score = site is not None or len(acting) == 1
    size = 2.0 if z_score else 40.0
    low, high = sorted((draw(_number(-size, size)), draw(_number(-size, size))))
    low, high = draw(st.sampled_from([(low, None), (None, high), (low, high)]))
    return pb.Gate(concept=draw(concepts), site=site, at_least=low, at_most=high, z_score=z_score)


@st.composite
def operations(
    draw: Any, sites: int = SITES, names: Sequence[str] = CONCEPTS, text: bool = True
) -> pb.Operation:
    """One operation on a model of so many sites; `text` prompts have characters to name."""
    concepts = st.sampled_from(names)
    acting = draw(st.lists(st.integers(0, sites - 1), unique=True, max_size=4))
    rules = st.one_of(*_RULES, _CHARACTERS) if text else st.one_of(*_RULES)
    return pb.Operation(
        concept=draw(concepts),
        sites=acting,
        scope=draw(st.none() | _scopes(rules)),
        gate=_gate(draw, acting, concepts) if acting and draw(st.integers(0, 3)) == 0 else None,
        envelope=draw(envelopes) if draw(st.integers(0, 3)) == 0 else None,
        **_actions(draw, max(1, len(acting))),
    )


@dataclass(frozen=True)
class Asked:
    """One random request; `changes` are other programs, sent when so many tokens have come."""

    text: str
    program: tuple[pb.Operation, ...]
    tokens: int
    prompt_readouts: bool
    tenant: str
    changes: tuple[tuple[int, tuple[pb.Operation, ...]], ...] = ()


_programs = st.lists(operations(), max_size=4).map(tuple)
requests = st.builds(
    Asked,
    text=st.sampled_from(TEXTS),
    program=_programs,
    tokens=st.integers(1, 8),
    prompt_readouts=st.booleans(),
    tenant=st.sampled_from(["", "", "other"]),
)
changed_requests = st.builds(
    lambda asked, tokens, changes: replace(asked, tokens=tokens, changes=tuple(changes)),
    requests,
    st.integers(12, 24),
    # Some come before the first token, and some so late that the request has ended.
    st.lists(st.tuples(st.integers(0, 12), _programs), min_size=1, max_size=3),
)
