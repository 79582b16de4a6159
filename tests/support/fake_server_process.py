"""A process of `support.fake_server`, as a test or a benchmark sees it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).parents[1]


class FakeServerProcess:
    """Starts the server; `target` is its address, `held()` what it holds.

    Args:
        *arguments: of `python -m support.fake_server`.
    """

    def __init__(self, *arguments: str) -> None:
        self._command = [sys.executable, "-m", "support.fake_server", *arguments]

    def __enter__(self) -> Self:
        paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            self._command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        #: What it wrote to its log.
        self.log: list[str] = []
        assert self.process.stderr is not None
        errors = self.process.stderr
        self._reader = threading.Thread(target=lambda: self.log.extend(errors), daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        self.target = self.process.stdout.readline().strip()
        if not self.target:
            self._reader.join(10)
            raise RuntimeError("the server did not start:\n" + "".join(self.log))
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self._reader.join(10)

    def held(self) -> dict[str, Any]:
        """Tasks, file descriptors, requests and memory, after a garbage collection."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        held: dict[str, Any] = json.loads(self.process.stdout.readline())
        return held
