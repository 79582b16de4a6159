"""Which program sits in which row of the program tables."""

from vagus_server.plugin.wire import Order


class Slots:
    """Slots by program digest, shared by requests with equal programs; slot 0 is "nothing".

    A slot is free again as soon as its last request lets go. There are at least as many
    slots as requests can run at once, so a full table is a defect and raises.
    """

    def __init__(self, count: int) -> None:
        self._free = list(range(count - 1, 0, -1))
        self._slot_of: dict[bytes, int] = {}
        self._users: dict[bytes, set[str]] = {}
        self._digest_of: dict[str, bytes] = {}

    def acquire(self, request_id: str, order: Order) -> tuple[int, bool]:
        """The slot for a request's program, and whether the program must be written there.

        Raises:
            RuntimeError: every slot is taken.
        """
        if not order.operations:
            return 0, False
        digest = order.digest
        fresh = digest not in self._slot_of
        if fresh:
            if not self._free:
                raise RuntimeError(f"all {len(self._slot_of)} program slots are in use")
            self._slot_of[digest] = self._free.pop()
            self._users[digest] = set()
        self._users[digest].add(request_id)
        self._digest_of[request_id] = digest
        return self._slot_of[digest], fresh

    def release(self, request_id: str) -> None:
        """Lets a request go; unknown ids are ignored."""
        digest = self._digest_of.pop(request_id, None)
        if digest is None:
            return
        users = self._users[digest]
        users.discard(request_id)
        if not users:
            del self._users[digest]
            self._free.append(self._slot_of.pop(digest))

    @property
    def used(self) -> int:
        """Number of slots that hold a running program."""
        return len(self._slot_of)
