"""The filter of system calls, run by hand: this machine has one kind of processor."""

import errno
import socket
import struct

import pytest

from vagus_server.experiments.sandbox_filter import socket_filter

X86_64, AARCH64, I386 = 0xC000003E, 0xC00000B7, 0x40000003
ALLOWED, REFUSED, KILLED = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


def verdict(filter_: bytes, processor: int, number: int, *arguments: int) -> int:
    """What the filter says of a call."""
    call = struct.pack("=IIQ6Q", number, processor, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions = list(struct.iter_unpack("=HBBI", filter_))
    at = word = 0
    while True:
        operation, then, otherwise, value = instructions[at]
        at += 1
        if operation == 0x20:
            (word,) = struct.unpack_from("=I", call, value)
        elif operation == 0x54:
            word &= value
        elif operation == 0x15:
            at += then if word == value else otherwise
        elif operation == 0x35:
            at += then if word >= value else otherwise
        else:
            assert operation == 0x06
            return value


@pytest.mark.parametrize(
    ("machine", "processor", "create", "pair"),
    [("x86_64", X86_64, 41, 53), ("aarch64", AARCH64, 198, 199)],
)
def test_sockets_are_of_the_network_and_pairs_of_streams(
    machine: str, processor: int, create: int, pair: int
) -> None:
    filter_ = socket_filter(machine)
    assert filter_ is not None
    stream, datagram = socket.SOCK_STREAM | socket.SOCK_CLOEXEC, socket.SOCK_DGRAM
    for family in range(50):
        of_network = family in (socket.AF_INET, socket.AF_INET6)
        found = verdict(filter_, processor, create, family, stream)
        assert found == (ALLOWED if of_network else REFUSED)
    assert verdict(filter_, processor, pair, socket.AF_UNIX, stream) == ALLOWED
    assert verdict(filter_, processor, pair, socket.AF_UNIX, datagram) == REFUSED
    assert verdict(filter_, processor, pair, socket.AF_UNIX, socket.SOCK_SEQPACKET) == REFUSED


def test_other_ways_to_a_socket_are_closed_and_other_calls_are_not() -> None:
    filter_ = socket_filter("x86_64")
    assert filter_ is not None
    assert verdict(filter_, X86_64, 425) == REFUSED, "io_uring"
    assert verdict(filter_, X86_64, 41 | 0x40000000, socket.AF_UNIX) == REFUSED, "x32"
    assert verdict(filter_, I386, 359, socket.AF_UNIX) == KILLED
    for number in (0, 1, 2, 40, 42, 52, 54, 59, 231, 424, 426):
        assert verdict(filter_, X86_64, number, socket.AF_UNIX) == ALLOWED


def test_an_unknown_processor_has_no_filter() -> None:
    assert socket_filter("riscv64") is None
