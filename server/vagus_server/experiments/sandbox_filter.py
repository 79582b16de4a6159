"""The system calls that a model's code is refused, as a seccomp filter.

UNIX sockets that lie in the file system (a session bus, an SSH agent, Docker) can be reached
from a network namespace of one's own, and Landlock does not ask who connects to them. The filter
leaves the families of the network, which the namespace takes care of, and pairs of sockets that
are connected to each other and so to nobody else.
"""

import platform
import socket
import struct
from dataclasses import dataclass

#: Operations of classic BPF: load a word, and, compare, return.
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
#: What a filter says: go on; fail with EPERM; end the process.
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
#: Where a filter finds the call's number, the processor, and the low words of two arguments.
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
#: Numbers from here on are a second set of calls of x86-64 (x32).
_OTHER_CALLS = 0x40000000
#: Its rings make sockets without the calls below.
_IO_URING_SETUP = 425
#: The bits of a socket's type that are no flags.
_TYPE = 0xF


@dataclass(frozen=True)
class _Processor:
    """Linux's number of it, and its numbers of two calls."""

    audit: int
    socket: int
    socketpair: int


_PROCESSORS = {
    "x86_64": _Processor(0xC000003E, 41, 53),
    "aarch64": _Processor(0xC00000B7, 198, 199),
}


def socket_filter(machine: str | None = None) -> bytes | None:
    """The filter's instructions, 8 bytes each.

    Args:
        machine: as `platform.machine()` names the processor; default: this one.

    Returns:
        None for a processor whose calls are not known here.
    """
    processor = _PROCESSORS.get(machine or platform.machine())
    if processor is None:
        return None
    # Jumps count the instructions that are skipped: where equal (or at least), and else.
    return b"".join(
        struct.pack("=HBBI", operation, then, otherwise, value)
        for operation, then, otherwise, value in (
            (_LOAD, 0, 0, _ARCHITECTURE),
            (_EQUAL, 1, 0, processor.audit),
            (_RETURN, 0, 0, _KILL),
            (_LOAD, 0, 0, _NUMBER),
            (_AT_LEAST, 10, 0, _OTHER_CALLS),
            (_EQUAL, 9, 0, _IO_URING_SETUP),
            (_EQUAL, 2, 0, processor.socket),
            (_EQUAL, 4, 0, processor.socketpair),
            (_RETURN, 0, 0, _ALLOW),
            # A socket: of the network.
            (_LOAD, 0, 0, _FIRST),
            (_EQUAL, 5, 0, socket.AF_INET),
            (_EQUAL, 4, 3, socket.AF_INET6),
            # A pair: of streams. Of datagrams, each end can send to any address.
            (_LOAD, 0, 0, _SECOND),
            (_AND, 0, 0, _TYPE),
            (_EQUAL, 1, 0, socket.SOCK_STREAM),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        )
    )
