"""Ways to damage or forge a pack, each a function of a random generator and the two files."""

import copy
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np

#: pack.json and tensors.safetensors.
Files = tuple[bytes, bytes]
Mutation = Callable[[random.Random, Files], Files]

HUGE = (2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30, -1, -(2**63), 0)
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    *HUGE,
    "",
    "\0",
    "a\0b",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x",
    "a/b",
    "a\nb",
    "\u202e",
    "e\u0301",
    "x" * 5000,
    "\ud800",
    [],
    {},
    [[]],
    {"a": 1},
)


def restated(manifest: bytes, tensors: bytes) -> Files:
    """With the checksum of the tensors in the manifest, as a forger would."""
    fields = json.loads(manifest)
    fields["tensors_sha256"] = hashlib.sha256(tensors).hexdigest()
    return json.dumps(fields).encode(), tensors


def _flip(rng: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _splice(rng: random.Random, data: bytes) -> bytes:
    """Takes out a piece, puts one in, or both; the piece is noise, zeros or of the file."""
    start = rng.randrange(len(data) + 1)
    end = min(len(data), start + rng.choice((0, 0, 1, 4, 100)))
    at = rng.randrange(len(data))
    pieces = (
        b"",
        rng.randbytes(rng.randrange(20)),
        b"\0" * rng.randrange(70_000),
        data[at : at + 40],
    )
    return data[:start] + rng.choice(pieces) + data[end:]


def flip_a_manifest(rng: random.Random, files: Files) -> Files:
    """Bits of pack.json."""
    return _flip(rng, files[0]), files[1]


def flip_tensors(rng: random.Random, files: Files) -> Files:
    """Bits of the tensors; every other time the checksum is restated."""
    tensors = _flip(rng, files[1])
    return restated(files[0], tensors) if rng.random() < 0.5 else (files[0], tensors)


def cut(rng: random.Random, files: Files) -> Files:
    """Either file ends early."""
    manifest, tensors = files
    if rng.random() < 0.5:
        return manifest[: rng.randrange(len(manifest))], tensors
    tensors = tensors[: rng.randrange(len(tensors))]
    return restated(manifest, tensors) if rng.random() < 0.7 else (manifest, tensors)


def splice(rng: random.Random, files: Files) -> Files:
    """Pieces of either file go or come."""
    manifest, tensors = files
    if rng.random() < 0.5:
        return _splice(rng, manifest), tensors
    tensors = _splice(rng, tensors)
    return restated(manifest, tensors) if rng.random() < 0.7 else (manifest, tensors)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a JSON value with every key or index in it."""
    if isinstance(value, dict):
        keys: list[Any] = list(value)
    elif isinstance(value, list):
        keys = list(range(len(value)))
    else:
        return []
    return [(value, key) for key in keys] + [p for key in keys for p in _places(value[key])]


def forge_manifest(rng: random.Random, files: Files) -> Files:
    """A value of pack.json is replaced, removed, renamed or doubled."""
    fields = json.loads(files[0])
    for _ in range(rng.choice((1, 1, 2))):
        container, key = rng.choice(_places(fields))
        value = copy.deepcopy(container[key])
        way = rng.randrange(5)
        if way < 2:
            container[key] = rng.choice(HOSTILE)
        elif way == 2:
            del container[key]
        elif isinstance(container, dict):
            container[rng.choice(("extra", "", "na\0me", str(key) * 2, "name"))] = value
        else:
            container.insert(rng.randrange(len(container) + 1), value)
    return json.dumps(fields).encode(), files[1]


def forge_manifest_text(rng: random.Random, files: Files) -> Files:
    """What JSON libraries read differently, or not at all."""
    text = files[0].decode()
    literal = rng.choice(("NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5000, "1e-999"))
    deep = rng.choice((10, 1000, 100_000))
    field = rng.choice(('"readout_site": ', '"sites": ', '"provenance": ', '"name": '))
    ways = (
        lambda: text.replace(field, f"{field}{literal}, {field}", 1),
        lambda: text.replace(field, field + literal + ', "x": ', 1),
        lambda: text.replace("{", '{"schema_version": 1, "schema_version": 1, ', 1),
        lambda: text.replace("{", '{"name": "other", ', 1),
        lambda: text.replace(field, field + "[" * deep + "]" * deep + ', "x": ', 1),
        lambda: '{"a":' * deep + "1" + "}" * deep,
        lambda: "\ufeff" + text,
        lambda: text + rng.choice(("\0", "{}", "  \n", ",", "//")),
        lambda: text.replace('"fact"', '"fact": "one", "fact"', 1),
        lambda: text.replace('"fact": ', f'"fact": {literal}, "other": ', 1),
    )
    encoding = rng.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-32", "utf-7"))
    return rng.choice(ways)().encode(encoding), files[1]


def forge_header(rng: random.Random, files: Files) -> Files:
    """The header of the tensors lies about names, types, shapes or places."""
    manifest, tensors = files
    length = int.from_bytes(tensors[:8], "little")
    header, body = json.loads(tensors[8 : 8 + length]), tensors[8 + length :]
    name = rng.choice(list(header))
    entry = header[name]
    way = rng.randrange(10)
    if way == 0:
        entry["data_offsets"][rng.randrange(2)] = rng.choice((*HUGE, 1, 8, len(body)))
    elif way == 1:
        other = header[rng.choice(list(header))]
        entry["data_offsets"], other["data_offsets"] = other["data_offsets"], entry["data_offsets"]
    elif way == 2:
        entry["data_offsets"] = header[rng.choice(list(header))]["data_offsets"]
    elif way == 3:
        kinds = (
            "BF16",
            "F64",
            "I16",
            "U8",
            "BOOL",
            "F8_E4M3",
            "C64",
            "f16",
            "",
            "x" * 9999,
            "F16",
            "F32",
        )
        entry["dtype"] = rng.choice(kinds)
    elif way == 4:
        entry["shape"] = rng.choice(
            ([], [0], [2**32, 2**32], [-1], [1, *entry["shape"]], entry["shape"][::-1], [1] * 9000)
        )
    elif way == 5:
        entry["shape"][0] = rng.choice((*HUGE, True, 1.0, "2", None))
    elif way == 6:
        header[rng.choice(("a\0", "../vectors", "x" * 9999, "__metadata__", "Vectors", ""))] = (
            header.pop(name)
        )
    elif way == 7:
        header["__metadata__"] = rng.choice(({"a": "b"}, {"a": 1}, [], "x", {"__proto__": "x"}))
    elif way == 8:
        header[rng.choice(("bias", "weights"))] = {
            "dtype": "F32",
            "shape": [0],
            "data_offsets": [len(body)] * 2,
        }
    else:
        entry[rng.choice(("extra", "offset"))] = rng.choice((None, 0, "x"))
    return restated(manifest, _file(json.dumps(header), body))


def forge_header_text(rng: random.Random, files: Files) -> Files:
    """The header of the tensors is hostile as text, or its length lies."""
    manifest, tensors = files
    length = int.from_bytes(tensors[:8], "little")
    text, body = tensors[8 : 8 + length].decode(), tensors[8 + length :]
    deep = rng.choice((10, 1000, 30_000))
    entry = '{"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}'
    ways = (
        lambda: _file(text.replace("{", f'{{"vectors": {entry}, ', 1), body),
        lambda: _file(text.replace('"dtype"', '"dtype": "F32", "dtype"', 1), body),
        lambda: _file(text.replace('"shape"', '"shape": [1], "shape"', 1), body),
        lambda: _file(text.replace("[", "[" * deep, 1), body),
        lambda: _file("[" * deep + "]" * deep, body),
        lambda: _file(text + " " * rng.choice((1, 7, 1000, 100_000)), body),
        lambda: _file(" " + text, body),
        lambda: _file(text.replace("0", "NaN", 1), body),
        lambda: _file(text, body, rng.choice((0, 1, length - 1, length + 1, *HUGE[:5]))),
        lambda: _file(text, body + b"\0" * rng.choice((1, 8, 50_000))),
        lambda: _file(text, b"\0" + body),
        lambda: _file("", b""),
        lambda: _file("{}", b""),
    )
    return restated(manifest, rng.choice(ways)())


def forge_values(rng: random.Random, files: Files) -> Files:
    """Numbers that no vector, norm or deviation may have, and some that it may."""
    manifest, tensors = files
    length = int.from_bytes(tensors[:8], "little")
    header, body = json.loads(tensors[8 : 8 + length]), bytearray(tensors[8 + length :])
    entry = header[rng.choice([name for name in header if name != "__metadata__"])]
    kind = np.dtype("<f2" if entry["dtype"] == "F16" else "<f4")
    start, end = entry["data_offsets"]
    values = np.frombuffer(body, kind)[start // kind.itemsize : end // kind.itemsize]
    value = rng.choice((np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1e-8, 6e4, 1.0))
    if rng.random() < 0.3:
        values[:] = value
    else:
        values[rng.randrange(len(values))] = value
    return restated(manifest, tensors[: 8 + length] + bytes(body))


def _file(header: str, body: bytes, length: int | None = None) -> bytes:
    text = header.encode()
    stated = len(text) if length is None else length
    return (stated % 2**64).to_bytes(8, "little") + text + body


MUTATIONS: tuple[Mutation, ...] = (
    flip_a_manifest,
    flip_tensors,
    cut,
    splice,
    forge_manifest,
    forge_manifest_text,
    forge_header,
    forge_header_text,
    forge_values,
)
