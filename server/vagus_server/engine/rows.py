"""Which contents sit in which row of the device's vector bank, and who needs them there."""

from collections import OrderedDict


class BankFull(RuntimeError):
    """Every row holds contents that somebody needs."""

    def __init__(self, capacity: int) -> None:
        super().__init__(f"all {capacity} rows of the vector bank are in use")
        self.capacity = capacity


class Rows:
    """Counts the users of each content; row 0 is "nothing".

    A content that nobody uses keeps its row until another needs it, the one longest unused
    first. So a content never moves while anything on the device could still refer to its row,
    and one that comes back soon need not be written again.

    Args:
        count: rows of the bank, with row 0.
    """

    def __init__(self, count: int) -> None:
        self.capacity = count - 1
        self._empty = list(range(count - 1, 0, -1))
        self._row_of: dict[str, int] = {}
        self._users: dict[str, int] = {}
        self._unused: OrderedDict[str, None] = OrderedDict()

    def acquire(self, digest: str) -> tuple[int, bool]:
        """A row for one more user of a content, and whether the content must be written there.

        Raises:
            BankFull: nothing has changed.
        """
        fresh = digest not in self._row_of
        if fresh:
            self._row_of[digest] = self._take()
        self._unused.pop(digest, None)
        self._users[digest] = self._users.get(digest, 0) + 1
        return self._row_of[digest], fresh

    def _take(self) -> int:
        if self._empty:
            return self._empty.pop()
        if not self._unused:
            raise BankFull(self.capacity)
        oldest, _ = self._unused.popitem(last=False)
        return self._row_of.pop(oldest)

    def release(self, digest: str, *, keep: bool = True) -> None:
        """Lets go of one use; `keep` False: the row does not hold the content after all."""
        self._users[digest] -= 1
        if self._users[digest]:
            return
        del self._users[digest]
        if keep:
            self._unused[digest] = None
        else:
            self._empty.append(self._row_of.pop(digest))

    def uses(self, digest: str) -> int:
        """Number of users of a content."""
        return self._users.get(digest, 0)

    @property
    def used(self) -> int:
        """Number of rows whose content somebody needs."""
        return len(self._users)
