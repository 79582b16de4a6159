"""What a model is asked to continue or to read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict

from vagus.v1 import prompt_pb2 as pb

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]

_ROLES: dict[str, pb.Role] = {
    "system": pb.ROLE_SYSTEM,
    "user": pb.ROLE_USER,
    "assistant": pb.ROLE_ASSISTANT,
    "tool": pb.ROLE_TOOL,
}


class Message(TypedDict):
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation, rendered by the model's own chat template.

    Attributes:
        messages: The messages in order.
        add_generation_prompt: Whether the template ends with the opening of the assistant's
            turn. None: true for generation, false for reading.
    """

    messages: Sequence[Message]
    add_generation_prompt: bool | None = None


PromptLike: TypeAlias = str | Sequence[int] | Sequence[Message] | Chat
"""Plain text (no chat template), token ids, or a conversation."""


def role_value(role: str) -> pb.Role:
    """The enum value of a role's name.

    Raises:
        ValueError: There is no such role.
    """
    if role not in _ROLES:
        raise ValueError(f"unknown role {role!r}; use one of {', '.join(_ROLES)}")
    return _ROLES[role]


def prompt_message(prompt: PromptLike) -> pb.Prompt:
    """The proto form of a prompt.

    Raises:
        TypeError: It is none of the forms of `PromptLike`.
        ValueError: A message has an unknown role.
    """
    if isinstance(prompt, str):
        return pb.Prompt(text=prompt)
    if isinstance(prompt, Chat):
        return pb.Prompt(chat=_chat_message(prompt))
    if isinstance(prompt, Sequence) and prompt and isinstance(prompt[0], Mapping):
        return pb.Prompt(chat=_chat_message(Chat(prompt)))  # type: ignore[arg-type]
    try:
        # Not ids=prompt: protobuf takes None for an empty list.
        return pb.Prompt(token_ids=pb.TokenIds(ids=iter(prompt)))  # type: ignore[arg-type]
    except TypeError as error:
        message = "a prompt is text, token ids, messages or a Chat"
        raise TypeError(f"{message}, not {type(prompt).__name__}: {error}") from error


def prompt_messages(
    inputs: PromptLike | Sequence[PromptLike],
) -> list[pb.Prompt]:
    """The proto forms of one prompt or of several."""
    if isinstance(inputs, (str, Chat)) or is_single(inputs):
        return [prompt_message(inputs)]  # type: ignore[arg-type]
    return [prompt_message(each) for each in inputs]  # type: ignore[arg-type]


def is_single(sequence: Sequence[object]) -> bool:
    """Whether a sequence is one prompt (messages or token ids) and not several prompts."""
    # __index__ and not int, so that numpy's integers count too.
    return len(sequence) > 0 and (
        isinstance(sequence[0], Mapping) or hasattr(sequence[0], "__index__")
    )


def _chat_message(chat: Chat) -> pb.Chat:
    return pb.Chat(
        messages=[
            pb.ChatMessage(role=role_value(each["role"]), content=each["content"])
            for each in chat.messages
        ],
        add_generation_prompt=chat.add_generation_prompt,
    )
