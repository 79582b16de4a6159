"""Messages that nobody should send: drawn from the API's descriptors, and damaged as bytes.

All chance comes from a `random.Random`: Hypothesis has one that it can shrink, and a long run
takes one with a seed.
"""

from collections.abc import Iterator
from random import Random
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_NAN, _INFINITY = float("nan"), float("inf")
_FLOATS = (0.0, -0.0, 1e-45, 0.1, -0.3, 1.0, -1.0, 2.0, 1e9, -3.4e38, 3.4e38)
_FLOATS += (_NAN, _INFINITY, -_INFINITY)
_INTEGERS = (0, 1, 2, 3, 4, 7, 8, 63, 64, 255, 256, 1024, 2**15, 2**31 - 1, 2**32 - 1, 2**63, 2**64)
#: Names that exist in the small pack among what does not.
_TEXTS = ("", "calm", "sad", "happy", "desperate", "Calm", "fake", "small", "x", "a b", "-1", "0")
_TEXTS += ("\0", "\r\n", "é" * 40, "\u2063VAGUS0\u2063", "\u202e", "😀", "../../etc/passwd")
_TEXTS += ("%s%n{}", "vagus.v1", "a" * 300, '{"type": "object"}', "(a|b)*", "[" * 200, "(" * 200)
_LONG = ("calm " * 20_000, "\U0001f600" * 30_000)

_KIND = FieldDescriptor
_SIGNED = (_KIND.TYPE_INT32, _KIND.TYPE_INT64, _KIND.TYPE_SINT32, _KIND.TYPE_SINT64)
_WIDE = (_KIND.TYPE_INT64, _KIND.TYPE_UINT64, _KIND.TYPE_SINT64)
_DEEPEST = 8


def hostile_message(random: Random, descriptor: Descriptor, *, depth: int = 0) -> Message:
    """A message of the type, with any of its fields set to anything that they can hold."""
    message: Message = message_factory.GetMessageClass(descriptor)()
    chosen = {oneof.name: random.choice(oneof.fields) for oneof in descriptor.oneofs}
    # The deeper, the fewer: most would otherwise be refused for their outermost field.
    share = 0.7 if depth < 2 else 0.35
    for field in descriptor.fields:
        oneof = field.containing_oneof
        if oneof is not None and len(oneof.fields) > 1:
            if chosen[oneof.name] is not field:
                continue
        elif random.random() > share:
            continue
        _set(random, message, field, depth)
    return message


def _set(random: Random, message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return
    if not field.is_repeated:
        value = _value(random, field, depth)
        if isinstance(value, Message):
            getattr(message, field.name).CopyFrom(value)
        elif value is not None:
            setattr(message, field.name, value)
        return
    most = 3 if field.message_type is not None else 70
    for _ in range(random.choice((0, 1, 1, 2, most))):
        value = _value(random, field, depth)
        if value is not None:
            getattr(message, field.name).append(value)


def _value(random: Random, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is not None:
        if depth >= _DEEPEST:
            return None
        return hostile_message(random, field.message_type, depth=depth + 1)
    if field.enum_type is not None:
        return random.choice((*(v.number for v in field.enum_type.values), 99, -1))
    if field.type == _KIND.TYPE_BOOL:
        return random.random() < 0.5
    if field.type in (_KIND.TYPE_FLOAT, _KIND.TYPE_DOUBLE):
        return random.choice(_FLOATS)
    if field.type == _KIND.TYPE_STRING:
        return random.choice(_LONG if random.random() < 0.01 else _TEXTS)
    if field.type == _KIND.TYPE_BYTES:
        return random.choice((b"", b"\0" * 8, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0{}", bytes(5000)))
    return _integer(random, field)


def _integer(random: Random, field: FieldDescriptor) -> int:
    bits = 64 if field.type in _WIDE else 32
    value = random.choice(_INTEGERS)
    if field.type in _SIGNED:
        value *= random.choice((1, -1))
        return max(-(2 ** (bits - 1)), min(value, 2 ** (bits - 1) - 1))
    return min(value, 2**bits - 1)


def altered(random: Random, message: Message) -> Message:
    """A copy in which a few fields, at any depth, hold anything that they can."""
    copy = type(message)()
    copy.CopyFrom(message)
    for _ in range(random.randint(0, 3)):
        _alter(random, copy, 0)
    return copy


def _alter(random: Random, message: Message, depth: int) -> None:
    inner = [value for field, value in message.ListFields() if field.message_type is not None]
    inner = [v for value in inner for v in ([value] if isinstance(value, Message) else value)]
    if inner and random.random() < 0.8:
        _alter(random, random.choice(inner), depth + 1)
    elif message.DESCRIPTOR.fields:
        field = random.choice(message.DESCRIPTOR.fields)
        message.ClearField(field.name)
        _set(random, message, field, depth)


def damaged(random: Random, data: bytes) -> bytes:
    """The bytes with some of them changed, taken away, doubled or put in."""
    changed = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(changed))
        length = random.choice((1, 2, 8, 64))
        kind = random.randrange(5)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << random.randrange(8)
        elif kind == 1:
            del changed[at : at + length]
        elif kind == 2:
            changed[at:at] = bytes(random.randrange(256) for _ in range(length))
        elif kind == 3:
            changed[at:at] = changed[at : at + length]
        else:
            # A group that never ends, a length beyond the end, or a long number.
            changed[at:at] = random.choice((b"\x0b" * 200, b"\x0a\xff\xff\xff\x7f", b"\xff" * 11))
    return bytes(changed)


def nested(depth: int) -> Iterator[bytes]:
    """Length-delimited fields within each other, by their number."""
    for number in (1, 2, 3, 4, 10):
        data = b""
        for _ in range(depth):
            data = bytes([number << 3 | 2]) + _varint(len(data)) + data
        yield data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
