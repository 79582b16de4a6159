"""The policies in force, kept up to date with their file."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from vagus_server.errors import ApiError, nearest, short
from vagus_server.policies.file import PolicyError, PolicySet
from vagus_server.policies.policy import Policy
from vagus_server.steering.program import Program

logger = logging.getLogger("vagus.policies")

#: Enough to see that a file has been replaced or written to.
_State = tuple[int, int, int]


class Policies:
    """Finds a request's policies. Requests keep those that they began with.

    Args:
        path: the file; None is none.
        read: reads it; raises PolicyError.
        max_operations: of a program, with what policies add.

    Raises:
        PolicyError: the file cannot be used.
    """

    def __init__(
        self, path: Path | None, read: Callable[[Path], PolicySet], max_operations: int
    ) -> None:
        self._path = path
        self._read = read
        self._max_operations = max_operations
        self._state = self._look()
        self.current = PolicySet() if path is None else read(path)

    def _look(self) -> _State | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)

    def refresh(self) -> bool | None:
        """Reads the file anew if it has changed: True; None if it has not.

        False: it cannot be used, and the policies before it stay in force.
        """
        state = self._look()
        if state == self._state or self._path is None:
            return None
        self._state = state
        try:
            self.current = self._read(self._path)
        except PolicyError as error:
            logger.error("policies stay as they were: %s", error)
            return False
        logger.info("policies in force: %s", ", ".join(p.name for p in self.current.policies))
        return True

    def of_request(self, named: Sequence[str], program: Program, field: str) -> tuple[Policy, ...]:
        """The policies that watch a request, in the order in which they add to its program.

        Args:
            named: those that the request names beside those that watch all.
            program: the request's own.
            field: path of the spec in the request.

        Raises:
            ApiError: a name is unknown, or the program leaves no room for what they can add.
        """
        current = self.current
        known = {policy.name for policy in current.policies}
        for i, name in enumerate(named):
            if name not in known:
                hint = nearest(name, known)
                raise ApiError(
                    grpc.StatusCode.NOT_FOUND,
                    "POLICY_NOT_FOUND",
                    f"no policy {short(name)} is in force" + (f"; is it {hint}?" if hint else ""),
                    field=f"{field}.policies[{i}]",
                    policy=name,
                )
        chosen = tuple(
            policy
            for entry, policy in zip(current.entries, current.policies, strict=True)
            if entry.every_request or entry.name in named
        )
        self.check_room(program, chosen, f"{field}.program")
        return chosen

    def check_room(self, program: Program, policies: Sequence[Policy], field: str) -> None:
        """Raises TOO_MANY_OPERATIONS unless a program leaves room for what policies can add."""
        added = sum(len(policy.program.operations) for policy in policies)
        if added and len(program.operations) + added > self._max_operations:
            limit = max(self._max_operations - added, 0)
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOO_MANY_OPERATIONS",
                f"{field}.operations has {len(program.operations)} operations; the server's "
                f"policies may add {added}, which leaves {limit}",
                field=f"{field}.operations",
                value=len(program.operations),
                limit=limit,
            )
