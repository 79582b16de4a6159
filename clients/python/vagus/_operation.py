"""Steering operations: what a program is made of.

x is the residual stream at a token, v a concept's vector at the site, u = v / |v|.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vagus._scope import ScopeLike
from vagus._vectors import Vectors

Unit: TypeAlias = Literal["residual", "vector", "absolute"]
"""What a strength of 1 means: the site's mean residual norm, the concept's own vector, or a
length of 1 in the residual stream's own scale."""


@dataclass(frozen=True, slots=True)
class Add:
    """x += s u, with s the strength in its unit."""

    strength: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Ablate:
    """x -= share <x, u> u."""

    share: float | None


@dataclass(frozen=True, slots=True)
class Set:
    """x += (value - <x, u>) u."""

    value: float
    unit: Unit


@dataclass(frozen=True, slots=True)
class Clamp:
    """x += (clip(<x, u>, lower, upper) - <x, u>) u."""

    lower: float | None
    upper: float | None
    unit: Unit


@dataclass(frozen=True, slots=True)
class Gate:
    """Lets an operation act only at tokens where a concept's readout is within bounds.

    Attributes:
        concept: The concept that is read.
        at_least: Lower bound. None: none.
        at_most: Upper bound. None: none.
        site: Where it is read: the operation's own site (None) or an earlier one.
        z_score: Whether the bounds are z-scores or raw projections.
    """

    concept: str
    at_least: float | None = None
    at_most: float | None = None
    site: int | None = None
    z_score: bool = False


@dataclass(frozen=True, slots=True)
class Envelope:
    """A factor on the strength over the generated tokens.

    Attributes:
        ramp_tokens: Tokens over which it rises linearly from 0 to 1.
        half_life_tokens: Tokens after which it has halved.
    """

    ramp_tokens: int | None = None
    half_life_tokens: float | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One steering operation on one concept. Made by `add`, `ablate`, `set_` and `clamp`.

    Attributes:
        concept: Its name in the served pack or among the tenant's own, or `Vectors` of one's own.
        action: What is done.
        sites: Where. Empty: the pack's steering site.
        scope: At which tokens.
        gate: Condition at each token. None: none.
        envelope: Change of strength over the generated tokens. None: constant.
    """

    concept: str | Vectors
    action: Add | Ablate | Set | Clamp
    sites: tuple[int, ...] = ()
    scope: ScopeLike = "all"
    gate: Gate | None = None
    envelope: Envelope | None = None

    @property
    def name(self) -> str:
        """The concept's name; empty for vectors of one's own."""
        return self.concept if isinstance(self.concept, str) else ""


Program: TypeAlias = Sequence[Operation]
"""A request's operations, in the order in which they run at each site."""

Sites: TypeAlias = int | Sequence[int] | None
"""One site, several, or None: the pack's steering site."""


def add(
    concept: str | Vectors,
    strength: float,
    unit: Unit = "residual",
    sites: Sites = None,
    scope: ScopeLike = "all",
    gate: Gate | None = None,
    envelope: Envelope | None = None,
) -> Operation:
    """Add a multiple of the concept's vector; a negative strength steers away from it."""
    return Operation(concept, Add(strength, unit), _site_tuple(sites), scope, gate, envelope)


def ablate(
    concept: str | Vectors,
    share: float | None = None,
    sites: Sites = None,
    scope: ScopeLike = "all",
    gate: Gate | None = None,
    envelope: Envelope | None = None,
) -> Operation:
    """Remove a share (0 to 1; None: all) of the component along the concept."""
    return Operation(concept, Ablate(share), _site_tuple(sites), scope, gate, envelope)


def set_(
    concept: str | Vectors,
    value: float,
    unit: Unit = "residual",
    sites: Sites = None,
    scope: ScopeLike = "all",
    gate: Gate | None = None,
    envelope: Envelope | None = None,
) -> Operation:
    """Set the component along the concept to a value."""
    return Operation(concept, Set(value, unit), _site_tuple(sites), scope, gate, envelope)


def clamp(
    concept: str | Vectors,
    lower: float | None = None,
    upper: float | None = None,
    unit: Unit = "residual",
    sites: Sites = None,
    scope: ScopeLike = "all",
    gate: Gate | None = None,
    envelope: Envelope | None = None,
) -> Operation:
    """Keep the component along the concept within bounds; None is no bound."""
    return Operation(concept, Clamp(lower, upper, unit), _site_tuple(sites), scope, gate, envelope)


def _site_tuple(sites: Sites) -> tuple[int, ...]:
    if sites is None:
        return ()
    return (sites,) if isinstance(sites, int) else tuple(sites)
