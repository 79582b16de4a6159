"""Code runs confined or not at all, and nothing of it outlives its time."""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.sandboxed import call, needs_sandbox
from support.waiting import wait_for
from vagus_server.experiments import sandbox
from vagus_server.experiments.sandbox import Limits, SandboxUnavailable, run_cases

pytestmark = needs_sandbox


def test_where_the_network_stays_open_code_is_refused_unless_allowed(
    monkeypatch: pytest.MonkeyPatch, left_behind: Callable[[], list[bytes]]
) -> None:
    found = sandbox._namespaces("--pid")
    monkeypatch.setattr(sandbox, "_namespaces", lambda *kinds: found if len(kinds) == 1 else None)
    with pytest.raises(SandboxUnavailable, match="--allow-unsandboxed-network"):
        call("return x + 1")
    code = "import os\ndef f(x):\n    return os.getpid()"
    (result,) = run_cases(code, "f", ["1"], allow_network=True)
    assert result.value == 2, "processes are taken away all the same"
    code = "import os, time\ndef f(x):\n    os.fork() or os.setsid()\n    time.sleep(9)"
    run_cases(code, "f", ["1"], Limits(seconds=1), allow_network=True)
    assert not left_behind()


def test_where_processes_cannot_be_taken_away_code_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sandbox, "_namespaces", lambda *kinds: None)
    for allow_network in (False, True):
        with pytest.raises(SandboxUnavailable, match="processes cannot be confined"):
            run_cases("def f(x):\n    return 1", "f", ["1"], allow_network=allow_network)


def test_a_process_that_cannot_be_confined_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    monkeypatch.setattr(sandbox, "_CHILD", child)
    child.write_text("import os\nos.write(1, b'no Landlock')")
    with pytest.raises(SandboxUnavailable, match="confined here: no Landlock"):
        call("return 1")
    child.write_text("raise SystemExit(1)")
    with pytest.raises(SandboxUnavailable, match="its process did not start"):
        call("return 1")


def test_an_infinite_loop_is_killed() -> None:
    result = call("while True:\n    pass", limits=Limits(seconds=30, cpu_seconds=1))
    assert "limit" in result.error
    asleep = call("import time\ntime.sleep(600)", limits=Limits(seconds=2))
    assert asleep.error == "killed after 2 s"


def test_ending_the_process_is_an_error() -> None:
    assert call("import os\nos._exit(0)").error
    assert call("raise SystemExit").error
    for status in (1, 97):
        assert call(f"import os\nos._exit({status})").error, "and no word about the sandbox"


def test_processes_that_it_leaves_behind_are_killed(left_behind: Callable[[], list[bytes]]) -> None:
    """A daemon in a session of its own would outlive a killed process group."""
    body = """import os, time
if os.fork() == 0:
    os.setsid()
    time.sleep(x)
    os._exit(0)
return os.getpid()"""
    assert call(body, "98765.25").error == ""
    assert not left_behind()


@pytest.mark.parametrize("asks_not_to_die", [False, True])
def test_leaving_the_group_gives_no_more_time(
    asks_not_to_die: bool, left_behind: Callable[[], list[bytes]]
) -> None:
    body = f"""import contextlib, ctypes, os, time
with contextlib.suppress(PermissionError):
    os.setsid()
if {asks_not_to_die}:
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)  # no signal when the parent dies
time.sleep(x)"""
    assert call(body, "12.5", Limits(seconds=1)).error == "killed after 1 s"
    assert not left_behind()


def test_it_cannot_stop_those_who_watch_it(left_behind: Callable[[], list[bytes]]) -> None:
    stop = "import os, signal\nos.kill(0, signal.SIGSTOP)\nreturn x"
    assert call(stop, limits=Limits(seconds=2)).error == "killed after 2 s"
    assert not left_behind()


def test_it_ends_with_the_process_that_started_it(left_behind: Callable[[], list[bytes]]) -> None:
    """Killed, that process can end nothing any more."""
    source = (
        "import tempfile\n"
        f"tempfile.tempdir = {tempfile.tempdir!r}\n"
        "from vagus_server.experiments.sandbox import Limits, run_cases\n"
        "code = 'import time\\ndef f(x):\\n    time.sleep(x)'\n"
        "run_cases(code, 'f', ['60'], Limits(seconds=60))\n"
    )

    def runs() -> bool:
        return any(b"sandbox_child" in command for command in left_behind())

    with subprocess.Popen([sys.executable, "-c", source]) as starter:
        wait_for(runs, "the sandbox")
        starter.kill()
    wait_for(lambda: not runs(), "its end")
