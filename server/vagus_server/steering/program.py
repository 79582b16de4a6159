"""A program with every name, unit and scope resolved: what is digested, ordered and proven."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from vagus_kernels.layout import ADD
from vagus_server.plugin.wire import NO_END, OrderOperation, Range

PROMPT = 1
GENERATION = 2
ALL = PROMPT | GENERATION


@dataclass(frozen=True)
class Operation:
    """One resolved operation.

    `lengths` are along the concept's unit direction in the residual stream's own scale, and
    `doses` the same as a share of the site's mean residual norm; both one per site.
    """

    concept: str
    concept_digest: str
    vector: int
    sites: tuple[int, ...]
    lengths: tuple[float, ...]
    doses: tuple[float, ...]
    phases: int

    def scope(self, prompt_tokens: int) -> tuple[Range, ...]:
        """The tokens in scope as half-open ranges of positions."""
        start = 0 if self.phases & PROMPT else prompt_tokens
        end = NO_END if self.phases & GENERATION else prompt_tokens
        return ((start, end),)


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run."""

    operations: tuple[Operation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 over vector contents, sites, lengths and scopes, 32 bytes.

        Equal digests mean equal keys and values for equal tokens, so it salts the prefix
        cache. Names and slots are not in it: what counts is what the device adds.
        """
        canonical = [
            {
                "action": "add",
                "vector": operation.concept_digest,
                "sites": operation.sites,
                "lengths": [length.hex() for length in operation.lengths],
                "phases": operation.phases,
            }
            for operation in self.operations
        ]
        text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).digest()

    @property
    def dose(self) -> float:
        """Sum of |dose| over operations and sites, as a share of the mean residual norm."""
        return sum(abs(dose) for operation in self.operations for dose in operation.doses)

    def order_operations(self, prompt_tokens: int) -> tuple[OrderOperation, ...]:
        """The operations as the device runs them, for a prompt of this length."""
        return tuple(
            OrderOperation(
                kind=ADD,
                vector=operation.vector,
                sites=operation.sites,
                a=operation.lengths,
                b=(0.0,) * len(operation.sites),
                scope=operation.scope(prompt_tokens),
            )
            for operation in self.operations
        )


def cache_salt(program: Program, tenant: str) -> str | None:
    """Salt of the prefix cache: requests share blocks only under the same program and tenant.

    None, for plain requests without a tenant, shares with everything that is plain.
    """
    if not program and not tenant:
        return None
    digest = program.digest if program else b""
    tenant_digest = hashlib.sha256(tenant.encode()).digest()
    return hashlib.sha256(tenant_digest + digest).hexdigest()
