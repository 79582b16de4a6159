"""How many programs running requests may be changed to: the workers' tables have so many slots."""

from collections import Counter

#: Of the room, what callers' changes leave to policies.
_POLICIES_SHARE = 1 / 4


def program_room(slots: int, running: int) -> int:
    """How many programs requests can be changed to: slots beside "nothing" and one for each.

    Args:
        slots: of the tables.
        running: most requests in a batch.
    """
    return slots - 1 - running


class Room:
    """Counts the programs that requests need slots for beside the ones that they came with.

    A slot for each running request is kept for the program that it came with, whatever that is.
    What callers and policies change them to shares the rest, of which callers leave a part to
    policies: a request whose policy finds no room ends. Equal programs share a slot, so each
    digest counts once, however many requests need it.

    Args:
        count: slots beside one for each running request.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._callers = count - int(count * _POLICIES_SHARE)
        self._needed: dict[str, set[bytes]] = {}
        #: What the workers hold of each request until they are told of its next change.
        self._told: dict[str, set[bytes]] = {}
        #: Number of requests that need each.
        self._users: Counter[bytes] = Counter()

    def turn(self, request_id: str, digests: set[bytes], *, asked: bool = False) -> bool:
        """A request needs these from now on; False, and nothing has changed, without room.

        `asked` says that its caller changes it, and no policy.
        """
        needed = digests | self._told.get(request_id, set())
        before = self._needed.get(request_id, set())
        fresh = sum(1 for digest in needed - before if digest not in self._users)
        freed = sum(1 for digest in before - needed if self._users[digest] == 1)
        most = self._callers if asked else self._count
        if fresh and len(self._users) + fresh - freed > most:
            return False
        self._set(request_id, needed)
        return True

    def tell(self, request_id: str, digests: set[bytes]) -> None:
        """The workers hear of a request's changes, and then hold no others of it than these."""
        self._told[request_id] = digests
        self._set(request_id, digests)

    def leave(self, request_id: str) -> None:
        """A request has ended."""
        self._told.pop(request_id, None)
        self._set(request_id, set())

    def _set(self, request_id: str, needed: set[bytes]) -> None:
        before = self._needed.pop(request_id, set())
        self._users.update(needed - before)
        for digest in before - needed:
            self._users[digest] -= 1
            if not self._users[digest]:
                del self._users[digest]
        if needed:
            self._needed[request_id] = needed

    def __len__(self) -> int:
        """Slots that are taken."""
        return len(self._users)
