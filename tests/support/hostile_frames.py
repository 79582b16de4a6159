"""Bytes that no gRPC client would send, on connections of their own.

Frames are made by hyperframe and header blocks by hpack, so that every part can also be wrong.
"""

import gzip
import socket
import struct
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_PATH = "/vagus.v1.ModelService/GetModel"
_SECONDS = 20.0

Headers = list[tuple[str, str]]


def headers(path: str = _PATH, **other: str) -> Headers:
    """A call's headers; `other` replaces or adds, with _ for - in names."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    fields |= {name.replace("_", "-"): value for name, value in other.items()}
    return list(fields.items())


def block(fields: Headers) -> bytes:
    """A header block that leaves the decoder's table alone."""
    encoded: bytes = hpack.Encoder().encode(fields, huffman=False)
    return encoded


def message(data: bytes = b"", compressed: int = 0, length: int | None = None) -> bytes:
    """A gRPC message as it is framed in DATA."""
    return struct.pack(">BI", compressed, len(data) if length is None else length) + data


def _frame(kind: type[Frame], flags: Iterable[str] = (), stream: int = 1, **fields: Any) -> bytes:
    frame = kind(stream, flags=list(flags))
    for name, value in fields.items():
        setattr(frame, name, value)
    serialized: bytes = frame.serialize()
    return serialized


def start(fields: Headers, *flags: str, stream: int = 1) -> bytes:
    """HEADERS of a call."""
    return _frame(HeadersFrame, ("END_HEADERS", *flags), stream, data=block(fields))


def data(body: bytes, *flags: str, stream: int = 1) -> bytes:
    """DATA in frames of at most 16 KiB; the last one has the flags."""
    pieces = [body[i : i + 16384] for i in range(0, len(body), 16384)] or [b""]
    frames = [_frame(DataFrame, (), stream, data=piece) for piece in pieces[:-1]]
    return b"".join((*frames, _frame(DataFrame, flags, stream, data=pieces[-1])))


def raw(kind: int, payload: bytes, flags: int = 0, stream: int = 1, length: int = -1) -> bytes:
    """A frame of any type, with any length in its header."""
    size = len(payload) if length < 0 else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


_HELLO = PREFACE + SettingsFrame(0).serialize()


def _call(body: bytes, **other: str) -> bytes:
    return _HELLO + start(headers(**other)) + data(body, "END_STREAM")


def answer(target: str, sent: bytes, seconds: float = 1.0) -> str:
    """What the server says to these bytes.

    Args:
        target: its address.
        sent: on a connection of their own.
        seconds: after which it is taken to wait for more.

    Returns:
        "grpc N" for a call's status, "http N" for an answer that is none, "reset N" for an ended
        stream, "goaway N" or "closed" for an ended connection, "silence" for none in
        time.
    """
    host, port = target.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=_SECONDS) as connection:
        try:
            connection.sendall(sent)
        except OSError:
            return "closed"
        return _Answer(connection, seconds).read()


class _Answer:
    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._decoder = hpack.Decoder()
        self._end = time.monotonic() + seconds

    def read(self) -> str:
        try:
            while True:
                found = self._next()
                if found:
                    return found
        except TimeoutError:
            return "silence"
        except (ConnectionError, EOFError):
            return "closed"

    def _next(self) -> str:
        header = self._take(9)
        frame, length = Frame.parse_frame_header(memoryview(header))
        frame.parse_body(memoryview(self._take(length)))
        if isinstance(frame, GoAwayFrame):
            return f"goaway {frame.error_code}"
        if isinstance(frame, RstStreamFrame):
            return f"reset {frame.error_code}"
        if not isinstance(frame, HeadersFrame):
            return ""
        fields = dict(self._decoder.decode(frame.data))
        if "grpc-status" in fields:
            return f"grpc {fields['grpc-status']}"
        status = fields.get(":status", "200")
        return "" if status == "200" else f"http {status}"

    def _take(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            self._connection.settimeout(max(self._end - time.monotonic(), 0.01))
            piece = self._connection.recv(size - len(taken))
            if not piece:
                raise EOFError
            taken += piece
        return taken


def bomb(size: int = 1 << 28) -> bytes:
    """A gzip stream that unpacks to so many zeros."""
    return gzip.compress(bytes(size), 1)


_CONVERSE = "/vagus.v1.GenerationService/Converse"
#: What is sent, made anew for each connection.
ATTACKS: dict[str, Callable[[], bytes]] = {
    "good": lambda: _call(message()),
    "no preface": lambda: b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tls": lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "half a preface": lambda: PREFACE[:10],
    "half a header": lambda: _HELLO + start(headers())[:-20],
    "headers alone": lambda: _HELLO + start(headers()),
    "headers without an end": lambda: _HELLO + _frame(HeadersFrame, (), data=block(headers())[:30]),
    "no message": lambda: _HELLO + start(headers(), "END_STREAM"),
    "an empty end": lambda: _call(b""),
    "half a message": lambda: _call(message(b"x" * 10, length=1000)),
    "half a prefix": lambda: _call(b"\0\0"),
    "two messages": lambda: _call(message() + message()),
    "length of 4 GiB": lambda: _call(message(b"x", length=2**32 - 1)),
    "length of 17 MiB": lambda: _call(message(b"x", length=17 << 20)),
    "unknown flags": lambda: _call(message(compressed=2)),
    "compressed without an encoding": lambda: _call(message(b"x", compressed=1)),
    "not gzip": lambda: _call(message(b"xyz", compressed=1), grpc_encoding="gzip"),
    "cut gzip": lambda: _call(message(bomb(9999)[:-9], compressed=1), grpc_encoding="gzip"),
    "unknown encoding": lambda: _call(message(b"x", compressed=1), grpc_encoding="zstd"),
    "bomb": lambda: _call(message(bomb(1 << 24 | 1)[:60_000], compressed=1), grpc_encoding="gzip"),
    "get": lambda: _HELLO + start([(":method", "GET"), *headers()[1:]], "END_STREAM"),
    "no path": lambda: _HELLO + start([f for f in headers() if f[0] != ":path"], "END_STREAM"),
    "odd path": lambda: _HELLO + start(headers(path="no/slash"), "END_STREAM"),
    "path that is not utf-8": lambda: (
        _HELLO + start(headers(path="/vagus.v1.XX"), "END_STREAM").replace(b"XX", b"\xa3\xba")
    ),
    "long path": lambda: _HELLO + start(headers(path="/" + "x" * 5000), "END_STREAM"),
    "other content": lambda: _call(message(), content_type="text/html"),
    "bad timeout": lambda: _call(message(), grpc_timeout="soon"),
    "timeout of nothing": lambda: _call(message(), grpc_timeout="0n"),
    "negative timeout": lambda: _call(message(), grpc_timeout="-1S"),
    "upper case": lambda: _HELLO + start([*headers(), ("X-Upper", "y")], "END_STREAM"),
    "bad base64": lambda: _call(message(), x_bin="%%%"),
    "line break": lambda: _call(message(), x="a\r\nb: c"),
    "headers of 20 kB": lambda: _call(message(), x="y" * 15_000, y="z" * 5000),
    "bad huffman": lambda: _HELLO + raw(1, b"\0\x81\xff\xff", 5),
    "bad index": lambda: _HELLO + raw(1, b"\xff\xff\xff\x7f", 5),
    "table of 4 GiB": lambda: _HELLO + raw(1, b"\x3f\xff\xff\xff\xff\x0f", 5),
    "many continuations": lambda: (
        _HELLO
        + _frame(HeadersFrame, (), data=block(headers()))
        + _frame(ContinuationFrame, (), data=block([("x", "y" * 900)])) * 500
    ),
    "continuation alone": lambda: _HELLO + _frame(ContinuationFrame, (), data=b"x"),
    "data before headers": lambda: _HELLO + data(message(), "END_STREAM"),
    "even stream": lambda: _HELLO + start(headers(), "END_STREAM", stream=2),
    "stream 0": lambda: _HELLO + raw(0, message(), 1, stream=0),
    "stream backwards": lambda: (
        _HELLO + start(headers(), stream=5) + start(headers(), "END_STREAM", stream=3)
    ),
    "frame of 16 MiB": lambda: _HELLO + raw(0, b"x" * 100, length=2**24 - 1),
    "unknown frame": lambda: _HELLO + raw(0x42, b"x" * 100) + _call(message())[len(_HELLO) :],
    "bad settings": lambda: PREFACE + raw(4, b"\0\4\xff\xff\xff\xff", stream=0),
    "settings of 5 bytes": lambda: PREFACE + raw(4, b"\0" * 5, stream=0),
    "flood of settings": lambda: _HELLO + SettingsFrame(0).serialize() * 2000,
    "flood of pings": lambda: _HELLO + PingFrame(0, b"x" * 8).serialize() * 2000,
    "flood of resets": lambda: (
        _HELLO
        + b"".join(
            start(headers(_CONVERSE), stream=s) + _frame(RstStreamFrame, (), s, error_code=8)
            for s in range(1, 1001, 2)
        )
    ),
    "window overflow": lambda: (
        _HELLO + _frame(WindowUpdateFrame, (), 0, window_increment=2**31 - 1) * 2
    ),
    "window of 0": lambda: _HELLO + raw(8, bytes(4), stream=0),
    "own dependency": lambda: (
        _HELLO + _frame(PriorityFrame, (), 1, depends_on=1) + _call(message())[len(_HELLO) :]
    ),
    "push": lambda: (
        _HELLO + _frame(PushPromiseFrame, ("END_HEADERS",), 1, promised_stream_id=2, data=b"")
    ),
    "beyond the window": lambda: _HELLO + start(headers(_CONVERSE)) + data(bytes(8 << 20)),
    "data after the end": lambda: (
        _HELLO + start(headers(), "END_STREAM") + data(message() * 100, "END_STREAM")
    ),
}
#: UNKNOWN and DATA_LOSS, as gRPC numbers them. INTERNAL and UNAVAILABLE are not among them: gRPC's
#: core answers so, before any code of ours, where headers or compressed bytes cannot be decoded and
#: where a connection breaks. Its Python layer says UNKNOWN where a path is not UTF-8.
FAULTS = {"grpc 2", "grpc 15"}
NOT_UTF8 = "path that is not utf-8"


def garbled(random: Random) -> bytes:
    """One of the attacks, with some bytes changed or cut off."""
    sent = bytearray(random.choice(list(ATTACKS.values()))())
    # The preface stays, or the answer would always be the same.
    for _ in range(random.randint(1, 8)):
        if len(sent) > len(_HELLO):
            sent[random.randrange(len(_HELLO), len(sent))] = random.randrange(256)
    if random.random() < 0.2:
        del sent[random.randrange(len(PREFACE), max(len(sent), len(PREFACE) + 1)) :]
    return bytes(sent)
