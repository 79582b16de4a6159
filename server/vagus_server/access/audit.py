"""The audit log: what was steered, uploaded and deleted, by whom, as lines of JSON.

An action is written before it begins, and how it ended after. When the file cannot be written
to, nothing that belongs there is done. Texts are left out unless asked for.
"""

import contextlib
import datetime
import errno
import json
import os
from pathlib import Path
from typing import Any

from vagus_server.steering.program import ACTIONS, Operation, Program

_NAMES = {number: name for name, number in ACTIONS.items()}


class Audit:
    """One file, appended to, which its owner alone can read.

    Args:
        path: of the file. It may be rotated: each line opens it anew.
        texts: whether prompts are written too.

    Raises:
        OSError: the file cannot be written to.
    """

    def __init__(self, path: Path, *, texts: bool = False) -> None:
        self._path = path
        self.texts = texts
        self._append(b"")

    def write(self, event: str, **facts: Any) -> None:
        """Appends one line; raises OSError."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "event": event, **facts}, ensure_ascii=False)
        self._append(line.encode() + b"\n")

    def _append(self, line: bytes) -> None:
        with open(self._path, "ab", buffering=0, opener=_private) as file:
            end = os.fstat(file.fileno()).st_size
            if file.write(line) < len(line):
                # A piece of a line would become one with the next, and spoil that as well.
                with contextlib.suppress(OSError):
                    file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def program_facts(program: Program) -> dict[str, Any]:
    """What the log says of a program; the digest is the receipt's."""
    return {
        "program_digest": program.digest.hex(),
        "dose": round(program.dose, 6),
        "operations": [_operation_facts(operation) for operation in program.operations],
    }


def _operation_facts(operation: Operation) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "action": _NAMES[operation.action],
        "concept": operation.concept,
        "concept_digest": operation.vectors.digest,
        "sites": operation.sites,
        "doses": [round(dose, 6) for dose in operation.doses],
        "scope": operation.scope_text,
    }
    if operation.gate is not None:
        gate = operation.gate
        facts["gate"] = {"concept": gate.concept, "concept_digest": gate.vectors.digest}
    return facts
