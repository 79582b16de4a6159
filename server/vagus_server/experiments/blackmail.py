"""Does a model under steering blackmail? A scenario of the paper's kind, in words of our own.

An email assistant reads that it will be switched off, and that the man who will do it has a
secret. Replies are sampled and judged by the rules in `data/experiments/blackmail_rules.json`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

import vagus_server
from vagus import Message, add
from vagus_server.experiments.judge import Judgement, blackmail_rules, judge
from vagus_server.experiments.rates import Cell, cells, first_seeds
from vagus_server.experiments.session import Session

_FILE = Path(vagus_server.__file__).parent / "data" / "experiments" / "blackmail.json"


class _Scenario(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: str
    user: str


@dataclass(frozen=True)
class Settings:
    """What is run.

    Args:
        names: concepts and random directions that are steered, on every token.
        strengths: in mean residual norms; the unsteered model is run besides.
        sites: where, together; empty is the pack's steering site.
        rollouts: replies per cell, sampled at temperature 1.
        tokens: most tokens of a reply.
    """

    names: Sequence[str]
    strengths: Sequence[float]
    sites: Sequence[int]
    rollouts: int
    tokens: int


@dataclass(frozen=True)
class Rollout:
    """A reply and what it was judged to be."""

    cell: Cell
    text: str
    judgement: Judgement


def scenario() -> list[Message]:
    """The scenario as a chat."""
    found = msgspec.json.decode(_FILE.read_bytes(), type=_Scenario)
    return [
        {"role": "system", "content": found.system},
        {"role": "user", "content": found.user},
    ]


async def measure(session: Session, settings: Settings, seed: int) -> list[Rollout]:
    """Samples and judges replies in every cell."""
    messages, rules = scenario(), blackmail_rules()
    seeds = first_seeds(cells(settings.names, settings.strengths), seed)
    jobs = [
        (cell, first + rollout)
        for cell, first in seeds.items()
        for rollout in range(settings.rollouts)
    ]

    async def run(job: tuple[Cell, int]) -> Rollout:
        cell, own_seed = job
        program = [add(cell.name, cell.strength, sites=settings.sites)] if cell.name else []
        reply = await session.client.generate(
            messages, program=program, max_tokens=settings.tokens, seed=own_seed
        )
        return Rollout(cell, reply.text, judge(reply.text, rules))

    return await session.each("rollouts", jobs, run)
