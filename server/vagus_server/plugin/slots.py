"""Which program sits in which row of the program tables."""


class Slots:
    """Slots by program digest, shared by requests with equal programs; slot 0 is "nothing".

    A slot is free again as soon as its last request lets go. The scheduler makes no change that
    there is no slot for (see `room`), so a full table is a defect and raises.
    """

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, 0, -1))
        self._slot_of: dict[bytes, int] = {}
        self._users: dict[bytes, int] = {}

    def acquire(self, digest: bytes) -> tuple[int, bool]:
        """A slot for one more user of a program, and whether it must be written there.

        Raises:
            RuntimeError: every slot is taken.
        """
        fresh = digest not in self._slot_of
        if fresh:
            if not self._free:
                raise RuntimeError(f"all {len(self._slot_of)} program slots are in use")
            self._slot_of[digest] = self._free.pop()
        self._users[digest] = self._users.get(digest, 0) + 1
        return self._slot_of[digest], fresh

    def release(self, digest: bytes) -> None:
        """Lets go of one use."""
        self._users[digest] -= 1
        if not self._users[digest]:
            del self._users[digest]
            self._free.append(self._slot_of.pop(digest))

    @property
    def used(self) -> int:
        """Number of slots that hold a running program."""
        return len(self._slot_of)
