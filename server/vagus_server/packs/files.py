"""Reads a pack's files without trust: bounded, strict about JSON, and never from a device."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec

#: Names, dtypes, shapes and offsets of four tensors take some hundred bytes.
MAX_HEADER_BYTES = 64 << 10


class PackError(ValueError):
    """The pack cannot be trusted or does not fit the model; the message says why."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the header of a safetensors file says of a tensor."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_limited(path: Path, limit: int) -> bytes:
    """The contents of a regular file, or of one that a link leads to.

    Raises:
        PackError: there is none, it cannot be read, or it has more than `limit` bytes.
    """
    try:
        # Without blocking: to open a pipe that nobody writes to would wait for ever.
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | os.O_NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise PackError(f"{path.name} is not a file")
            if status.st_size > limit:
                raise PackError(f"{path.name} is larger than {limit} bytes")
            return file.read(status.st_size)
    except OSError as error:
        raise PackError(f"{path.name} cannot be read: {error.strerror}") from None


def check_json(data: bytes) -> None:
    """Refuses what parsers disagree about: keys that are given twice, other encodings, depth.

    Raises:
        ValueError: with the reason.
    """
    try:
        json.loads(data.decode(), object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key is given twice")
    return fields


def read_header(data: bytes) -> dict[str, Entry]:
    """What a safetensors file says of its tensors, before any of them is touched.

    Raises:
        ValueError: with the reason.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("the header is cut off")
    if length > MAX_HEADER_BYTES:
        raise ValueError(f"the header is larger than {MAX_HEADER_BYTES} bytes")
    header = data[8 : 8 + length]
    check_json(header)
    raw = msgspec.json.decode(header, type=dict[str, msgspec.Raw])
    if "__metadata__" in raw:
        msgspec.json.decode(raw.pop("__metadata__"), type=dict[str, str])
    return {name: msgspec.json.decode(entry, type=Entry) for name, entry in raw.items()}
