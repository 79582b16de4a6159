"""What a tenant is using of what it may use: tokens, open requests, room on the device."""

import math
from collections.abc import Callable

from token_bucket import MemoryStorage

from vagus_server.access.holding import Holding
from vagus_server.access.keys import TenantLimits
from vagus_server.access.limited import limited

_NONE = TenantLimits()
_TOKENS = "tokens_per_minute"
#: Of the room on the device that all tenants share, what one may take.
TENANTS_SHARE = 1 / 4
#: And what all may take together where there are no keys, and so no tenants to tell apart.
EVERYBODYS_SHARE = 3 / 4


class Account:
    """One tenant's.

    Args:
        limits: what holds now; asked each time, so that a changed file counts at once.
        share: what it may take of the room on the device.
    """

    def __init__(
        self, limits: Callable[[], TenantLimits] = lambda: _NONE, share: float = EVERYBODYS_SHARE
    ) -> None:
        self._limits = limits
        #: Rows of the vector bank that hold inline vectors.
        self.inline_vectors = Holding("inline_vectors", share)
        #: Slots of the programs that running requests were changed to.
        self.changed_programs = Holding("changed_programs", share)
        self._open = 0
        self._buckets = MemoryStorage()

    @property
    def limits(self) -> TenantLimits:
        """What the tenant may use."""
        return self._limits()

    def call(self) -> None:
        """Takes one call, or raises RATE_LIMITED."""
        rate = self.limits.requests_per_second
        if rate is not None:
            self._take("requests_per_second", 1, rate, max(1, math.ceil(rate)), rate)

    def open(self, places: int = 1, held: int = 0) -> None:
        """Takes places among the tenant's open requests, or raises RATE_LIMITED.

        The call that wants them has `held` already.
        """
        limit = self.limits.concurrency
        if limit is not None and places and self._open + places > limit:
            raise limited("concurrency", limit, None if held + places > limit else 1)
        self._open += places

    def close(self, places: int) -> None:
        """Gives places back."""
        self._open -= places

    def reserve(self, tokens: int) -> None:
        """Takes tokens that a request may need, or raises RATE_LIMITED."""
        limit = self.limits.tokens_per_minute
        if limit is not None and tokens:
            self._take(_TOKENS, tokens, limit / 60, limit, limit)

    def give_back(self, tokens: int) -> None:
        """Puts back tokens that were reserved and not needed."""
        limit = self.limits.tokens_per_minute
        if limit is not None and tokens > 0:
            # A negative number adds; replenishing keeps the bucket within its capacity.
            self._buckets.replenish(_TOKENS, limit / 60, limit)
            self._buckets.consume(_TOKENS, -tokens)

    def _take(self, quota: str, count: int, rate: float, capacity: int, limit: float) -> None:
        self._buckets.replenish(quota, rate, capacity)
        if not self._buckets.consume(quota, count):
            missing = count - self._buckets.get_token_count(quota)
            never = count > capacity
            raise limited(quota, limit, None if never else math.ceil(missing / rate))
