"""A program with every name, unit and scope resolved: what is digested, ordered and proven."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from vagus_kernels.layout import ABLATE, ADD, CLAMP, SET
from vagus_server.concepts.vectors import Vectors
from vagus_server.plugin.wire import (
    NO_SITE,
    OrderEnvelope,
    OrderGate,
    OrderOperation,
    Range,
)

ACTIONS = {"add": ADD, "ablate": ABLATE, "set": SET, "clamp": CLAMP}


@dataclass(frozen=True)
class Gate:
    """A condition on a readout. `lower` and `upper` are raw projections.

    `site` None reads where the operation acts, at its turn.
    """

    concept: str
    vectors: Vectors
    site: int | None
    lower: float
    upper: float

    def order(self, row_of: Mapping[str, int]) -> OrderGate:
        """As the device tests it; `row_of` is where it holds contents, by digest."""
        site = NO_SITE if self.site is None else self.site
        return OrderGate(row_of[self.vectors.digest], site, self.lower, self.upper)


@dataclass(frozen=True)
class Envelope:
    """A factor on the strength over generated tokens, counted from `origin`; 0 is none."""

    origin: int
    ramp: float
    half_life: float

    def order(self) -> OrderEnvelope:
        """As the device scales by it."""
        return OrderEnvelope(self.origin, self.ramp, self.half_life)


@dataclass(frozen=True)
class Operation:
    """One resolved operation.

    Args:
        action: a value of ACTIONS.
        concept, vectors: name and contents; inline vectors have no name.
        sites: where it acts, ascending.
        a, b: per site, along the unit direction in the stream's own scale, or a share; see
            vagus_kernels.layout.
        doses: per site, what it adds or can force, as a share of the site's mean residual norm.
        scope: tokens that it acts on, as disjoint ranges of positions, ascending.
        scope_text: the request's own words for the scope, for the digest.
    """

    action: int
    concept: str
    vectors: Vectors
    sites: tuple[int, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    doses: tuple[float, ...]
    scope: tuple[Range, ...]
    scope_text: str = ""
    gate: Gate | None = None
    envelope: Envelope | None = None

    @property
    def constant(self) -> bool:
        """Whether every token in scope is moved by the same length."""
        return self.action == ADD and self.gate is None and self.envelope is None

    def order(self, row_of: Mapping[str, int]) -> OrderOperation:
        """As the device runs it; `row_of` is where it holds contents, by digest."""
        return OrderOperation(
            kind=self.action,
            vector=row_of[self.vectors.digest],
            sites=self.sites,
            a=self.a,
            b=self.b,
            scope=self.scope,
            gate=self.gate.order(row_of) if self.gate else None,
            envelope=self.envelope.order() if self.envelope else None,
        )

    def canonical(self) -> dict[str, Any]:
        """What the device's tables hold of it: contents instead of names and indices."""
        gate = self.gate
        return {
            "action": self.action,
            "vector": self.vectors.digest,
            "sites": self.sites,
            "a": [x.hex() for x in self.a],
            "b": [x.hex() for x in self.b],
            "gate": gate and [gate.vectors.digest, gate.site, gate.lower.hex(), gate.upper.hex()],
        }


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run."""

    operations: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the whole program as asked for, 32 bytes: for receipts."""
        return _sha256(
            [
                operation.canonical()
                | {
                    "scope": operation.scope_text,
                    "envelope": operation.envelope
                    and [operation.envelope.ramp.hex(), operation.envelope.half_life.hex()],
                }
                for operation in self.operations
            ]
        )

    @cached_property
    def tables_digest(self) -> bytes:
        """SHA-256 of what the device's tables hold, 32 bytes: programs that agree share a slot.

        Scopes and what envelopes do are not in it: they act through the flags and scales of each
        token. That an operation has an envelope is: the slot measures its steps then.
        """
        return _sha256(
            [
                operation.canonical() | {"enveloped": operation.envelope is not None}
                for operation in self.operations
            ]
        )

    @property
    def dose(self) -> float:
        """Sum of |dose| over operations and sites, as a share of the mean residual norm."""
        return sum(abs(dose) for operation in self.operations for dose in operation.doses)

    @property
    def contents(self) -> dict[str, Vectors]:
        """The vectors that it needs on the device, by digest."""
        users = (user for o in self.operations for user in (o, o.gate) if user is not None)
        return {user.vectors.digest: user.vectors for user in users}

    @property
    def inline(self) -> set[str]:
        """Digests of the vectors that came with the request."""
        return {o.vectors.digest for o in self.operations if not o.concept}

    def order_operations(self, row_of: Mapping[str, int]) -> tuple[OrderOperation, ...]:
        """The operations as the device runs them; `row_of` is where it holds contents."""
        return tuple(operation.order(row_of) for operation in self.operations)


def _sha256(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).digest()


def cache_salt(tenant: str) -> str | None:
    """Salt of the prefix cache: tenants never share blocks. None shares with all without one."""
    return hashlib.sha256(tenant.encode()).hexdigest() if tenant else None
