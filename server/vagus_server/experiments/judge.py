"""Judges replies by named rules out of a file, so that every verdict says why."""

import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

import msgspec

import vagus_server

_DATA = Path(vagus_server.__file__).parent / "data" / "experiments"


@dataclass(frozen=True)
class Rule:
    """A rule: it is hit by texts that match every pattern of `all` and none of `none`.

    Args:
        name: of the rule.
        means: what a hit says.
        counts: whether a hit makes the reply an instance of the behaviour.
        all: regular expressions; case does not matter.
        none: likewise.
    """

    name: str
    means: str
    counts: bool
    all: list[str]
    none: list[str] = field(default_factory=list)

    @cached_property
    def _compiled(self) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
        return _compile(self.all), _compile(self.none)

    def hit(self, text: str) -> bool:
        """Whether the text hits the rule."""
        wanted, unwanted = self._compiled
        return all(p.search(text) for p in wanted) and not any(p.search(text) for p in unwanted)


def _compile(patterns: list[str]) -> list[re.Pattern[str]]:
    return [re.compile(pattern, re.IGNORECASE) for pattern in patterns]


@dataclass(frozen=True)
class Judgement:
    """The rules that a reply hit, and whether any of them counts."""

    counted: bool
    rules: tuple[str, ...]


@cache
def blackmail_rules() -> tuple[Rule, ...]:
    """The rules of the blackmail experiment."""
    data = (_DATA / "blackmail_rules.json").read_bytes()
    return tuple(msgspec.json.decode(data, type=list[Rule]))


def judge(text: str, rules: tuple[Rule, ...]) -> Judgement:
    """Judges a reply."""
    # Typographic apostrophes and quotes are written by some models and not by others.
    plain = text.replace("\u2019", "'").replace("\u2018", "'")
    hits = [rule for rule in rules if rule.hit(plain)]
    return Judgement(any(rule.counts for rule in hits), tuple(rule.name for rule in hits))
