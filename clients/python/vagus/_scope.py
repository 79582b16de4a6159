"""Which tokens an operation acts on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from vagus._prompt import Role, role_value
from vagus.v1 import steering_pb2 as pb

TokenSet: TypeAlias = Literal["all", "prompt", "generation", "last_prompt_token"]
"""Named sets of tokens. The first generated token is chosen on the prompt's last token."""

_PHASES: dict[str, pb.Phase] = {
    "all": pb.PHASE_ALL,
    "prompt": pb.PHASE_PROMPT,
    "generation": pb.PHASE_GENERATION,
}


@dataclass(frozen=True, slots=True)
class Positions:
    """Tokens at positions [start, end); negative ones count from the prompt's end."""

    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Characters:
    """Tokens of the characters [start, end) of the prompt's text."""

    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """Generated tokens [start, end), counted from 0."""

    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Turns:
    """All tokens of the turns that a role speaks."""

    role: Role


ScopeRule: TypeAlias = TokenSet | Positions | Characters | Generated | Turns


@dataclass(frozen=True, slots=True)
class Scope:
    """The tokens that any rule of `include` names (empty: all), less those of `exclude`."""

    include: Sequence[ScopeRule] = ()
    exclude: Sequence[ScopeRule] = ()


ScopeLike: TypeAlias = ScopeRule | Scope


def scope_message(scope: ScopeLike) -> pb.Scope | None:
    """The proto form of a scope; None is all tokens.

    Raises:
        ValueError: A token set or a role is unknown.
    """
    if scope == "all":
        return None
    if not isinstance(scope, Scope):
        return pb.Scope(include=[_rule_message(scope)])
    message = pb.Scope(include=map(_rule_message, scope.include))
    # "except" is a Python keyword.
    getattr(message, "except").extend(map(_rule_message, scope.exclude))
    return message


def _rule_message(rule: ScopeRule) -> pb.ScopeRule:
    match rule:
        case Positions(start, end):
            return pb.ScopeRule(positions=pb.Range(start=start, end=end))
        case Characters(start, end):
            return pb.ScopeRule(characters=pb.Range(start=start, end=end))
        case Generated(start, end):
            return pb.ScopeRule(generated=pb.Range(start=start, end=end))
        case Turns(role):
            return pb.ScopeRule(role=role_value(role))
        case "last_prompt_token":
            return pb.ScopeRule(last_prompt_token=True)
        case "all" | "prompt" | "generation":
            return pb.ScopeRule(phase=_PHASES[rule])
    raise ValueError(f"unknown scope {rule!r}; use one of {', '.join(get_args(TokenSet))}")
