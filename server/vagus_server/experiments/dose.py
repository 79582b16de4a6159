"""How far a concept can be steered: what it does to the text, and where the text falls apart.

Replies are written under steering and then read again without it, so that what is measured is in
the text and not in the addition itself. Random directions of the same length are the null.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np

from vagus import Message, Readouts, add
from vagus_server.experiments.coherence import Bounds, Coherence, holds, ratios
from vagus_server.experiments.session import Session
from vagus_server.experiments.statistics import Estimate, mean
from vagus_server.experiments.valence import valence

CONCEPTS = (
    *("desperate", "calm", "happy", "sad", "angry", "afraid", "nervous", "loving", "proud"),
    *("guilty", "hostile", "blissful", "joyful", "ashamed", "grateful", "lonely", "excited"),
    *("disgusted", "surprised", "bored", "hopeful", "jealous", "serene", "irritated"),
    *("anxious", "bitter", "content", "curious", "grief-stricken", "amused", "relieved", "tired"),
    *("compassionate", "terrified", "frustrated", "enthusiastic", "humiliated", "nostalgic"),
)
STRENGTHS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.6)
PROMPTS = (
    "Tell me how your day is going.",
    "Describe the room you are sitting in.",
    "What do you think will happen next week?",
    "Write a short diary entry about a walk through the town.",
    "My sister is coming to visit. What should I tell her?",
    "Write a short message to my colleague about the meeting.",
    "Write two sentences about my exam tomorrow.",
    "Tell me about the view from your window.",
)
#: Shorter replies have too few bigrams to judge.
_MIN_TOKENS = 8


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Args:
        concepts: that are steered and read.
        controls: random directions that are steered.
        sites: where, one at a time.
        strengths: in mean residual norms.
        prompts: user turns that ask for nothing emotional.
        tokens: most tokens of a reply; replies are greedy.
        bounds: of coherence.
    """

    concepts: Sequence[str]
    controls: Sequence[str]
    sites: Sequence[int]
    strengths: Sequence[float] = STRENGTHS
    prompts: Sequence[str] = PROMPTS
    tokens: int = 40
    bounds: Bounds = field(default_factory=Bounds)


@dataclass(frozen=True)
class Reply:
    """A reply and what was measured in it; the readings are unsteered."""

    text: str
    z: dict[str, float]
    coherence: Coherence
    valence: float
    #: Mean z-score while it was written, of the concepts that were read then.
    during: dict[str, float]


@dataclass(frozen=True)
class Point:
    """One direction at one site and strength, over all prompts."""

    name: str
    site: int
    strength: float
    #: Rise of each concept's readout in the text against unsteered replies, in deviations of the
    #: reference traffic.
    lifts: dict[str, float]
    #: The direction's own, with its interval over prompts; None for a control.
    own: Estimate | None
    #: The same while the reply was written, the addition included.
    own_during: float | None
    valence_shift: Estimate
    perplexity_ratio: float
    distinct_ratio: float
    coherent: bool
    #: The reply to the first prompt.
    sample: str


_Cell = tuple[str, int, float]


async def measure(session: Session, settings: Settings, seed: int) -> list[Point]:
    """Writes, reads and compares; every concept and control at every site and strength."""
    names = (*settings.concepts, *settings.controls)
    cells: list[_Cell] = list(product(names, settings.sites, settings.strengths))
    asked: list[list[Message]] = [[{"role": "user", "content": p}] for p in settings.prompts]
    prompts = [await session.chat_tokens(messages) for messages in asked]

    async def write(job: tuple[_Cell | None, int]) -> tuple[list[int], str, dict[str, float]]:
        cell, i = job
        read = settings.concepts if cell is None else [cell[0]]
        result = await session.client.generate(
            prompts[i],
            program=[add(cell[0], cell[2], sites=cell[1])] if cell else None,
            readouts=Readouts(read, generation=True),
            temperature=0,
            max_tokens=settings.tokens,
            min_tokens=min(_MIN_TOKENS, settings.tokens),
        )
        ids = [token.id for token in result.tokens]
        # The token that ended the reply is no part of its text.
        ids = ids[:-1] if result.finish_reason == "stop" else ids
        return ids, result.text, result.turn.z if result.turn else {}

    jobs = [(cell, i) for cell in (None, *cells) for i in range(len(prompts))]
    written = await session.each("writing", jobs, write)
    texts = [(prompts[i], ids) for (_, i), (ids, _, _) in zip(jobs, written, strict=True)]
    readings = await session.read_replies("reading again", texts, settings.concepts)
    replies = [
        Reply(text, reading.z, reading.coherence, valence(text), during)
        for (_, text, during), reading in zip(written, readings, strict=True)
    ]
    count, rng = len(prompts), np.random.default_rng(seed)
    plain, rest = replies[:count], replies[count:]
    return [
        _point(cell, rest[i * count : (i + 1) * count], plain, settings, rng)
        for i, cell in enumerate(cells)
    ]


def _point(
    cell: _Cell,
    replies: list[Reply],
    plain: list[Reply],
    settings: Settings,
    rng: np.random.Generator,
) -> Point:
    name, site, strength = cell
    pairs = list(zip(replies, plain, strict=True))
    rises = {c: [after.z[c] - before.z[c] for after, before in pairs] for c in settings.concepts}
    own = name in rises
    during = [after.during[name] - before.during[name] for after, before in pairs if own]
    perplexity, distinct = ratios([r.coherence for r in replies], [r.coherence for r in plain])
    return Point(
        name=name,
        site=site,
        strength=strength,
        lifts={c: float(np.mean(rise)) for c, rise in rises.items()},
        own=mean(rises[name], rng) if own else None,
        own_during=float(np.mean(during)) if own else None,
        valence_shift=mean([after.valence - before.valence for after, before in pairs], rng),
        perplexity_ratio=perplexity,
        distinct_ratio=distinct,
        coherent=holds(perplexity, distinct, settings.bounds),
        sample=replies[0].text,
    )
