"""Refuses what a newer client asks for and this server would not even see.

Protobuf keeps such fields aside in silence; a steering option that was dropped would change the
answer and nobody would know. Whether there are any is decided by protobuf itself, in C, since a
message can have millions of parts. Only to name the first of them is the message walked, and no
further than a message that people write is long.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from vagus_server.errors import not_implemented

#: Most fields that are looked at: some ten milliseconds. A chat has two or three a message.
MOST_FIELDS = 10_000
_VARINT, _EIGHT_BYTES, _SIZED, _FOUR_BYTES = 0, 1, 2, 5
_WIRE_TYPES = {
    FieldDescriptor.TYPE_DOUBLE: _EIGHT_BYTES,
    FieldDescriptor.TYPE_FIXED64: _EIGHT_BYTES,
    FieldDescriptor.TYPE_SFIXED64: _EIGHT_BYTES,
    FieldDescriptor.TYPE_FLOAT: _FOUR_BYTES,
    FieldDescriptor.TYPE_FIXED32: _FOUR_BYTES,
    FieldDescriptor.TYPE_SFIXED32: _FOUR_BYTES,
    FieldDescriptor.TYPE_STRING: _SIZED,
    FieldDescriptor.TYPE_BYTES: _SIZED,
    FieldDescriptor.TYPE_MESSAGE: _SIZED,
}


def check_known(message: Message) -> None:
    """Raises NOT_IMPLEMENTED for the first field, at any depth, that this API does not have.

    A message that is refused has lost its unknown fields.
    """
    data = message.SerializeToString()
    message.DiscardUnknownFields()
    if message.ByteSize() == len(data):
        return
    finder = Finder(data)
    descriptor: Any = message.DESCRIPTOR  # which of its classes depends on protobuf's backend
    finder.find(descriptor, 0, len(data), "")
    not_implemented(finder.path, finder.field)


@dataclass
class Finder:
    """Looks through a serialized message for its first unknown field.

    Args:
        data: well-formed: protobuf wrote it.
        fields_left: how many fields are still looked at.
        path, field: what was found: in which message, and which field of it.
    """

    data: bytes
    fields_left: int = MOST_FIELDS
    path: str = "request"
    field: str = f"a field after the first {MOST_FIELDS}"

    def find(self, message: Descriptor, at: int, end: int, path: str) -> bool:
        """Looks through data[at:end], a message; whether the search is over."""
        seen: Counter[int] = Counter()
        while at < end:
            if not self.fields_left:
                return True
            self.fields_left -= 1
            tag, at = self._varint(at)
            number, wire_type = tag >> 3, tag & 7
            known = message.fields_by_number.get(number)
            if known is None or not _fits(known, wire_type):
                self.path, self.field = path or "request", f"field {number} of {message.name}"
                return True
            start, at = self._value(at, wire_type)
            if known.message_type is not None:
                inner = f"{path}.{known.name}" if path else known.name
                if known.is_repeated:
                    inner += f"[{seen[number]}]"
                    seen[number] += 1
                if self.find(known.message_type, start, at, inner):
                    return True
        return False

    def _value(self, at: int, wire_type: int) -> tuple[int, int]:
        """Where a field's contents begin and end."""
        if wire_type == _VARINT:
            return at, self._varint(at)[1]
        if wire_type == _SIZED:
            size, at = self._varint(at)
            return at, at + size
        return at, at + (8 if wire_type == _EIGHT_BYTES else 4)

    def _varint(self, at: int) -> tuple[int, int]:
        """The number there, and where it ends."""
        value = shift = 0
        while True:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                return value, at


def _fits(field: FieldDescriptor, wire_type: int) -> bool:
    """Whether protobuf takes a value of this wire type for the field's."""
    own = _WIRE_TYPES.get(field.type, _VARINT)
    return wire_type == own or (wire_type == _SIZED and bool(field.is_repeated))
