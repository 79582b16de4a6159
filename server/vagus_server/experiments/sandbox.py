"""Runs a model's code against test cases where it can do no harm.

A subprocess without network, UNIX sockets, environment or privileges, in a temporary folder that
is all it can write to, within limits of memory, processor time, file size and processes, killed
when its time is over. Network and process namespaces come from util-linux's `unshare`, the rest
from `sandbox_child.py`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vagus_server.experiments import sandbox_child
from vagus_server.experiments.sandbox_child import CONFINED
from vagus_server.experiments.sandbox_filter import socket_filter
from vagus_server.experiments.sandbox_result import CaseResult, read_results

_CHILD = Path(sandbox_child.__file__)
_DIED = "the process died, perhaps at a limit of memory or time"
_NOBODY = 65534
_GRACE_S = 5.0


class SandboxUnavailable(RuntimeError):
    """This machine cannot confine code; the message says what is missing."""


@dataclass(frozen=True)
class Limits:
    """What code may use."""

    seconds: float = 10.0
    cpu_seconds: int = 5
    memory_bytes: int = 512 << 20
    file_bytes: int = 1 << 20
    open_files: int = 32
    processes: int = 16


def run_cases(
    code: str,
    function: str,
    cases: Sequence[str],
    limits: Limits | None = None,
    *,
    allow_network: bool = False,
) -> list[CaseResult]:
    """Calls a function of the code once per case.

    Args:
        code: a Python module.
        function: its name there.
        cases: each the source of the call's one argument.
        limits: of the whole run.
        allow_network: run even where the network cannot be taken away.

    Returns:
        One result per case; all of them errors when the subprocess did not end in order.

    Raises:
        SandboxUnavailable: files, processes, UNIX sockets or, without `allow_network`, the network
            cannot be taken away.
    """
    limits = limits or Limits()
    prefix = _prefix(allow_network)
    instructions = socket_filter()
    if instructions is None:
        raise SandboxUnavailable("UNIX sockets cannot be taken away on this kind of processor")
    with tempfile.TemporaryDirectory(prefix="vagus-sandbox-") as name:
        folder = Path(name)
        (folder / "code.py").write_text(code, encoding="utf-8", errors="replace")
        job = {
            "function": function,
            "cases": list(cases),
            "limits": vars(limits),
            "filter": instructions.hex(),
        }
        (folder / "job.json").write_text(json.dumps(job))
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        problem = _run([*prefix, *_python(folder)], folder, limits.seconds)
        results = read_results(folder / "result.json", len(cases))
    if results is None:
        return [CaseResult(None, 0.0, problem or "the code ended the process")] * len(cases)
    return results


def _python(folder: Path) -> list[str]:
    # Without site packages (-S) and this package's folder (-I): the standard library alone.
    return [os.path.realpath(sys.executable), "-I", "-S", "-B", str(_CHILD), str(folder)]


def _run(command: list[str], folder: Path, seconds: float) -> str:
    """Runs to the end or until the time is over; returns what went wrong, or "".

    Raises:
        SandboxUnavailable: the subprocess says that it could not confine itself.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    late = _late(process, seconds)
    with process:
        told = process.stdout.read() if process.stdout else b""
    if late:
        return f"killed after {seconds:g} s"
    if told != CONFINED:
        reason = told.decode(errors="replace") or "its process did not start"
        raise SandboxUnavailable(f"code cannot be confined here: {reason}")
    return "" if process.returncode == 0 else _DIED


def _late(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Waits for the end, which it brings about when the time is over; whether it did."""
    late = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        late = True
    # The end of its standard input, which also comes when this process is killed, ends the first
    # process of the namespace, and that ends when all others have.
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        # It was not so far as to heed that: no code has run.
        os.killpg(process.pid, signal.SIGKILL)
    return late


def _prefix(allow_network: bool) -> tuple[str, ...]:
    """The command that takes processes and network away, or, if allowed, processes alone."""
    both, processes = _namespaces("--pid", "--net"), _namespaces("--pid")
    if both is not None:
        return both
    if processes is None:
        raise SandboxUnavailable(
            "processes cannot be confined here: `unshare` is missing or not permitted"
        )
    if not allow_network:
        raise SandboxUnavailable(
            "the network cannot be taken away here; "
            "--allow-unsandboxed-network runs the model's code all the same"
        )
    return processes


@cache
def _namespaces(*kinds: str) -> tuple[str, ...] | None:
    """The command that runs another in namespaces of these kinds, or None where there is none."""
    tool = shutil.which("unshare")
    if tool is None:
        return None
    own = () if os.geteuid() == 0 else ("--map-root-user",)
    command = (tool, *own, *kinds, "--fork", "--kill-child")
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else None
