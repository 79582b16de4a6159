"""The policies in force, kept up to date with their file."""

from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from vagus_server.errors import ApiError, check_count, nearest, short
from vagus_server.policies.file import PolicySet
from vagus_server.policies.policy import Policy
from vagus_server.reload import Reloaded
from vagus_server.steering.program import Program

#: Most policies that a request names: more than a file has that people write.
_MOST_NAMED = 256


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
        self._max_operations = max_operations
        self._file = None if path is None else Reloaded([path], lambda: read(path))

    @property
    def current(self) -> PolicySet:
        """Those in force."""
        return PolicySet() if self._file is None else self._file.value

    def refresh(self) -> bool | None:
        """Reads the file anew if it has changed: True; None if it has not.

        False: it cannot be used, and the policies before it stay in force.
        """
        return None if self._file is None else self._file.refresh()

    def of_request(self, named: Sequence[str], program: Program, field: str) -> tuple[Policy, ...]:
        """The policies that watch a request, in the order in which they add to its program.

        Args:
            named: those that the request names beside those that watch all.
            program: the request's own.
            field: path of the spec in the request.

        Raises:
            ApiError: a name is unknown, there are too many, or the program leaves no room for what
                they can add.
        """
        check_count(len(named), _MOST_NAMED, f"{field}.policies")
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
