"""What the running calls of one tenant hold of something that all tenants share."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from vagus_server.access.limited import limited


class Holding:
    """Holds things by their digests: equal ones take room once, so they count once.

    Args:
        quota: what it is of, for the caller.
        share: the most that the tenant may hold, of the room that there is.
    """

    def __init__(self, quota: str, share: float) -> None:
        self._quota = quota
        self._share = share
        #: How many hold each.
        self._holders: Counter[str] = Counter()

    @contextmanager
    def holding(self, digests: Iterable[str], room: int) -> Iterator[None]:
        """Holds things while the block runs; `room` is how many all tenants can hold.

        Raises:
            ApiError: RATE_LIMITED; nothing has changed.
        """
        wanted = set(digests)
        fresh = sum(1 for digest in wanted if digest not in self._holders)
        most = max(1, int(room * self._share))
        if fresh and len(self) + fresh > most:
            raise limited(self._quota, most, None if len(wanted) > most else 1)
        self._holders.update(wanted)
        try:
            yield
        finally:
            self._holders -= Counter(wanted)  # drops those that nobody holds

    def __len__(self) -> int:
        """Different things that are held."""
        return len(self._holders)
