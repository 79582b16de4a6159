"""Confines itself, then runs a model's code: the program of `sandbox.py`'s subprocess.

It imports the standard library alone and is started with `python -I -S`, as the first process of
a process namespace. The code runs in a second one, from which the first cannot be reached. When
the code is done or standard input ends, the first process ends, and the kernel kills whatever the
code has left running before anybody hears of that end.

Order matters: what can fail is done before the code runs, and is told on standard output, which
the code does not get.
"""

import ctypes
import json
import os
import resource
import select
import stat
import sys
import time
from typing import NoReturn

#: What is told when all confinements hold; anything else says which does not.
CONFINED = b"confined"
_NOBODY = 65534
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_NO_NEW_PRIVILEGES = 38
_SET_SECCOMP, _BY_FILTER = 22, 2
#: Execute, read a file, list a folder.
_READ = 1 << 0 | 1 << 2 | 1 << 3
#: Write, remove, make and truncate files, too. Neither folders, which could be nested too deep to
#: remove, nor links, pipes and sockets.
_WRITE = _READ | 1 << 1 | 1 << 5 | 1 << 8 | 1 << 14
#: Number of file rights by Landlock's version.
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
#: Flags of unshare() and mount().
_NEW_MOUNTS = 0x20000
_PRIVATE, _RECURSIVE, _BIND = 1 << 18, 1 << 14, 1 << 12
_LIBRARIES = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/null", "/dev/urandom")


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p))


def open_library(library: str) -> None:
    """Makes the standard library reachable for nobody where it lies in a private folder.

    Over the private folder comes an empty one, for this process and its children alone, and in it
    the library's folder, at the path that it had.

    Raises:
        OSError: the kernel cannot do that.
    """
    steps = library.split("/")
    folders = ["/".join(steps[:count]) for count in range(2, len(steps))]
    private = next((path for path in folders if not os.stat(path).st_mode & stat.S_IXOTH), None)
    if private is None:
        return
    libc = ctypes.CDLL(None, use_errno=True)

    def checked(result: int) -> None:
        if result:
            raise OSError(ctypes.get_errno(), f"{library} cannot be made readable for nobody")

    checked(libc.unshare(_NEW_MOUNTS))
    checked(libc.mount(None, b"/", None, _PRIVATE | _RECURSIVE, None))
    opened = os.open(library, os.O_PATH | os.O_CLOEXEC)
    checked(libc.mount(b"none", private.encode(), b"tmpfs", 0, b"mode=755"))
    os.umask(0o022)
    os.makedirs(library)
    source = f"/proc/self/fd/{opened}"
    checked(libc.mount(source.encode(), library.encode(), None, _BIND, None))
    os.close(opened)


def confine(folder: str) -> None:
    """Lets this process write to the folder, read Python's own files, and nothing else.

    Raises:
        OSError: the kernel cannot do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(number: int, *arguments: object) -> int:
        result: int = libc.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), f"Landlock (system call {number})")
        return result

    version = call(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    every = (1 << _RIGHTS.get(version, 16)) - 1
    # From version 4 on, TCP is refused too.
    attributes = _Ruleset(every, 3 if version >= 4 else 0)
    size = ctypes.c_size_t(16 if version >= 4 else 8)
    ruleset = call(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    libraries = filter(os.path.exists, (sys.base_prefix, *_LIBRARIES))
    for path, rights in ((folder, _WRITE & every), *((path, _READ) for path in libraries)):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not os.path.isdir(path):
            rights &= ~(1 << 3)
        rule = _Beneath(rights, opened)
        call(_ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
        os.close(opened)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    call(_RESTRICT_SELF, ruleset, 0)


def refuse_calls(instructions: bytes) -> None:
    """Puts this process under a filter of system calls; see `sandbox_filter.py`.

    Raises:
        OSError: the kernel cannot do that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kept = ctypes.create_string_buffer(instructions, len(instructions))
    program = _Filter(len(instructions) // 8, ctypes.addressof(kept))
    if libc.prctl(_SET_SECCOMP, _BY_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def limit(limits: dict[str, float]) -> None:
    """Sets hard limits."""
    for kind, key in (
        (resource.RLIMIT_CPU, "cpu_seconds"),
        (resource.RLIMIT_AS, "memory_bytes"),
        (resource.RLIMIT_FSIZE, "file_bytes"),
        (resource.RLIMIT_NOFILE, "open_files"),
        (resource.RLIMIT_NPROC, "processes"),
    ):
        resource.setrlimit(kind, (int(limits[key]), int(limits[key])))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def is_root() -> bool:
    """Whether this is the machine's root, and not that of a user's own namespace."""
    with open("/proc/self/uid_map") as file:
        return os.geteuid() == 0 and file.read().split() == ["0", "0", "4294967295"]


def become_nobody() -> None:
    """Drops all privileges: root has no limit of processes."""
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)


def call_cases(code: str, function: str, cases: list[str]) -> list[tuple[object, float, str]]:
    """Calls the function for each case; see `sandbox.CaseResult`."""
    namespace: dict[str, object] = {"__name__": "code"}
    clock = time.perf_counter
    try:
        exec(compile(code, "code.py", "exec"), namespace)  # noqa: S102 - what this process is for
        called = namespace[function]
    except Exception as error:
        return [(None, 0.0, _line(error))] * len(cases)
    results: list[tuple[object, float, str]] = []
    for source in cases:
        argument = eval(source, {})  # noqa: S307 - our own test cases
        start = clock()
        try:
            value = called(argument)  # type: ignore[operator]
            taken = clock() - start
            json.dumps(value)
            results.append((value, taken, ""))
        except Exception as error:
            results.append((None, clock() - start, _line(error)))
    return results


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def lead(child: int) -> NoReturn:
    """The first process of a namespace: ends when the child does, or standard input."""
    events = select.poll()
    events.register(sys.stdin.fileno())
    events.register(os.pidfd_open(child))
    while True:
        # Processes whose parents have ended are this one's: they are taken in once a second.
        if any(file == sys.stdin.fileno() for file, _ in events.poll(1000)):
            os._exit(1)
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == child:
                os._exit(0 if ended[1] == 0 else 1)


def main() -> None:
    """Runs the job of the folder that is named on the command line."""
    folder = sys.argv[1]
    try:
        with open(os.path.join(folder, "job.json")) as file:
            job = json.load(file)
        with open(os.path.join(folder, "code.py")) as file:
            code = file.read()
        if as_root := is_root():
            open_library(sys.base_prefix)
        if child := os.fork():
            lead(child)
        # Signals to its group are then signals to itself and not to those who watch it.
        os.setsid()
        if as_root:
            become_nobody()
        limit(job["limits"])
        confine(folder)
        refuse_calls(bytes.fromhex(job["filter"]))
    except OSError as error:
        os.write(1, str(error).encode())
        os._exit(1)
    os.write(1, CONFINED)
    os.dup2(2, 0)
    os.dup2(2, 1)
    results = call_cases(code, job["function"], job["cases"])
    with open(os.path.join(folder, "result.json"), "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main()
