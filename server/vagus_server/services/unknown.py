"""Refuses what a newer client asks for and this server would not even see."""

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from vagus_server.errors import not_implemented


def check_known(message: Message, path: str = "") -> None:
    """Raises NOT_IMPLEMENTED for the first field, at any depth, that this API does not have.

    Protobuf drops such fields in silence; a steering option that was dropped would change the
    answer and nobody would know.
    """
    unknown = UnknownFieldSet(message)
    if len(unknown):
        name = f"field {unknown[0].field_number} of {message.DESCRIPTOR.name}"
        not_implemented(path or "request", name)
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        inner = f"{path}.{descriptor.name}" if path else descriptor.name
        if isinstance(value, Message):
            check_known(value, inner)
            continue
        for i, item in enumerate(value):
            check_known(item, f"{inner}[{i}]")
