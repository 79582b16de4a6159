"""What a subprocess that ran a model's code left behind, read without trust."""

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class CaseResult:
    """What a call gave: its value as JSON knows it, or an error.

    Args:
        value: returned value; None with an error.
        seconds: that the call took, by the subprocess's own clock.
        error: one line; "" where there was none.
    """

    value: Any
    seconds: float
    error: str


def read_results(path: Path, count: int) -> list[CaseResult] | None:
    """The results in a file that the code may have written itself.

    Returns:
        None where the file does not have `count` results.
    """
    try:
        rows = _plain(json.loads(_read(path)))
        results = [CaseResult(row[0], float(row[1]), str(row[2])[:300]) for row in rows]
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return None
    return results if len(results) == count else None


def _read(path: Path) -> bytes:
    # Neither led elsewhere by a link nor waiting for somebody who writes to a pipe.
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise ValueError("not a file")
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError("too large")
    return data


def _plain(value: Any) -> Any:
    """The value with what no text can hold, a half of a surrogate pair, replaced by "?"."""
    return json.loads(json.dumps(value, ensure_ascii=False).encode(errors="replace"))
