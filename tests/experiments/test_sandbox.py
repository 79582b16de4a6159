"""A model's code can do no harm, and honest code works."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sandboxed import call, needs_sandbox
from vagus_server.experiments.sandbox import run_cases
from vagus_server.experiments.sandbox_result import CaseResult

pytestmark = needs_sandbox


def test_values_come_back_in_order() -> None:
    results = run_cases("def double(x):\n    return x * 2", "double", ["2", "'ab'", "[1, 2]"])
    assert [r.value for r in results] == [4, "abab", [1, 2, 1, 2]]
    assert all(not r.error and r.seconds >= 0 for r in results)


def test_the_standard_library_is_there_and_nothing_else() -> None:
    assert call("import math, collections\nreturn math.gcd(x, 12)", "18").value == 6
    for module in ("datetime", "threading", "timeit", "textwrap", "asyncio", "csv", "zoneinfo"):
        assert call(f"import {module}\nreturn {module}.__name__").value == module
    assert "ModuleNotFoundError" in call("import numpy").error
    assert "ModuleNotFoundError" in call("import vagus_server").error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("def f(x):\n    return y", "NameError: name 'y' is not defined"),
        ("def g(x):\n    return x", "KeyError: 'f'"),
        ("def f(x)\n    return x", "SyntaxError: expected ':'"),
        ("def f(x):\n    return {1, 2}", "TypeError: Object of type set is not JSON serializable"),
        ("def f(x):\n    return f(x)", "RecursionError"),
    ],
)
def test_errors_come_back_as_one_line(code: str, error: str) -> None:
    (result,) = run_cases(code, "f", ["1"])
    assert result.value is None
    assert result.error.startswith(error)


@pytest.fixture
def listener() -> Iterator[tuple[int, threading.Event]]:
    """A port on this machine, and whether anybody has connected to it."""
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                server.accept()[0].close()
                reached.set()
            except OSError:
                pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], reached
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def test_there_is_no_network(listener: tuple[int, threading.Event]) -> None:
    port, reached = listener
    connect = "import socket\nsocket.create_connection(('127.0.0.1', x), 2)"
    assert call(connect, str(port)).error
    assert not reached.is_set()
    datagram = (
        "import socket\nreturn socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))"
    )
    assert "unreachable" in call(datagram).error


def test_sockets_in_the_file_system_are_out_of_reach(open_folder: Path) -> None:
    streams, datagrams = open_folder / "streams", open_folder / "datagrams"
    with (
        socket.socket(socket.AF_UNIX) as listening,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving,
    ):
        listening.bind(str(streams))
        listening.listen()
        receiving.bind(str(datagrams))
        for path in (streams, datagrams):
            path.chmod(0o777)
        listening.settimeout(0)
        receiving.settimeout(0)
        connect = "import socket\nsocket.socket(socket.AF_UNIX).connect(x)"
        assert "PermissionError" in call(connect, repr(str(streams))).error
        send = (
            "import socket\n"
            "one, other = socket.socketpair(type=socket.SOCK_DGRAM)\n"
            "one.sendto(b'hello', x)"
        )
        assert "PermissionError" in call(send, repr(str(datagrams))).error
        with pytest.raises(BlockingIOError):
            listening.accept()
        with pytest.raises(BlockingIOError):
            receiving.recv(10)


def test_a_pair_of_sockets_is_nobody_elses() -> None:
    body = "import socket\none, other = socket.socketpair()\none.send(x)\nreturn other.recv(9)[0]"
    assert call(body, "b'7'").value == ord("7")


def test_files_are_written_in_its_own_folder_alone(open_folder: Path) -> None:
    inside = "open('own.txt', 'w').write('hello')\nreturn open('own.txt').read()"
    assert call(inside).value == "hello"
    target = open_folder / "outside.txt"
    for path in (str(target), f"/tmp/vagus-escape-{os.getpid()}", "/dev/shm/vagus-escape"):
        assert "PermissionError" in call("open(x, 'w').write('out')", repr(path)).error
        assert not Path(path).exists()


def test_other_peoples_files_are_not_read(open_folder: Path) -> None:
    secret = open_folder / "secret.txt"
    secret.write_text("secret")
    secret.chmod(0o666)
    assert "PermissionError" in call("return open(x).read()", repr(str(secret))).error
    assert "PermissionError" in call("return open('/etc/passwd').read()").error


def test_the_environment_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAGUS_SECRET", "secret")
    environment = call("import os\nreturn dict(os.environ)").value
    assert "VAGUS_SECRET" not in environment
    assert "PATH" not in environment


def test_memory_is_limited() -> None:
    assert "MemoryError" in call("return len(bytearray(2 << 30))").error
    assert call("return len(bytearray(64 << 20))").value == 64 << 20


def test_files_are_small() -> None:
    body = "with open('big', 'wb') as file:\n    file.write(bytes(8 << 20))"
    assert call(body).error


def test_processes_are_few() -> None:
    body = """import os, time
children = 0
try:
    while children < 200:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        children += 1
except OSError:
    pass
return children"""
    assert call(body).value < 50


def test_a_forged_result_file_is_no_result() -> None:
    for forged in ("[[1, 0, '']", "{}", "[[1, 0, ''], [1, 0, '']]", "x" * 10):
        body = f"import os\nopen('result.json', 'w').write({forged!r})\nos._exit(0)"
        assert call(body).value is None


def test_its_folder_holds_files_alone() -> None:
    for made in ("os.mkfifo('result.json')", "os.symlink('/dev/zero', 'result.json')"):
        result = call(f"import os\ntry:\n    {made}\nfinally:\n    os._exit(0)")
        assert result == CaseResult(None, 0.0, "the code ended the process")
    nested = "import os\nfor _ in range(3000):\n    os.mkdir('a')\n    os.chdir('a')"
    assert "PermissionError" in call(nested).error


def test_half_a_character_is_replaced() -> None:
    assert call("return ['\\ud800x', {'\\udfff': 'a\\ud83d\\ude00'}]").value == [
        "?x",
        {"?": "a\U0001f600"},
    ]
    assert "ValueError: ?" in call("raise ValueError('\\ud800')").error
