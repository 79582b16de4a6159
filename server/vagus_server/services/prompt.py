"""From a prompt message to token ids."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
import jinja2

from vagus.v1 import prompt_pb2 as pb
from vagus_server.errors import ApiError, invalid
from vagus_server.services.chat import ROLES, RenderedChat
from vagus_server.steering.scope import PromptMap


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as the model gets it.

    Args:
        ids: its tokens.
        tokenizer: that made them.
        text: what was tokenised, None where ids were given.
        chat: the messages, as the template takes them; None where it is no chat.
    """

    ids: list[int]
    tokenizer: Any
    text: str | None = None
    chat: "RenderedChat | None" = None

    @cached_property
    def map(self) -> PromptMap:
        """For scopes. Characters are those of a text prompt; a chat's are not the caller's."""
        own_words = self.text is not None and self.chat is None
        return PromptMap(len(self.ids), own_words, lambda: self._spans, lambda: self._turns)

    @cached_property
    def _spans(self) -> list[tuple[int, int]] | None:
        if self.text is None or not getattr(self.tokenizer, "is_fast", False):
            return None
        encoded = self.tokenizer(
            self.text, return_offsets_mapping=True, add_special_tokens=self.chat is None
        )
        spans: list[tuple[int, int]] = encoded["offset_mapping"]
        return spans if encoded["input_ids"] == self.ids else None

    @cached_property
    def _turns(self) -> list[tuple[int, int, int]] | None:
        return self.chat.turns() if self.chat is not None and self._spans is not None else None


class PromptEncoder:
    """Tokenises prompts for the served model.

    Args:
        tokenizer: the model's Hugging Face tokenizer.
        vocabulary_size: ids at or above it are refused.
        max_model_len: longest sequence; a prompt must leave room for one token.
    """

    def __init__(self, tokenizer: Any, vocabulary_size: int, max_model_len: int) -> None:
        self._tokenizer = tokenizer
        self._vocabulary_size = vocabulary_size
        self._limit = max_model_len - 1
        #: Texts that would be too long in the longest tokens alone are never tokenised.
        self._longest_token = max(map(len, tokenizer.get_vocab()))
        self._token_texts: dict[int, str] = {}

    @property
    def has_chat_template(self) -> bool:
        """Whether chat messages can be rendered."""
        return bool(getattr(self._tokenizer, "chat_template", None))

    def token_text(self, token_id: int) -> str:
        """The text of one token taken alone."""
        text = self._token_texts.get(token_id)
        if text is None:
            text = self._token_texts[token_id] = self._tokenizer.decode([token_id])
        return text

    def encode(self, prompt: pb.Prompt, field: str, add_generation_prompt: bool) -> EncodedPrompt:
        """Encodes a prompt, or raises ApiError."""
        form = prompt.WhichOneof("input")
        text, chat = None, None
        if form == "text":
            self._check_characters(len(prompt.text), f"{field}.text")
            text = prompt.text
            ids = list(self._tokenizer.encode(text))
        elif form == "token_ids":
            if len(prompt.token_ids.ids) > self._limit:
                raise self._too_long(len(prompt.token_ids.ids), field)
            ids = self._check_ids(list(prompt.token_ids.ids), f"{field}.token_ids.ids")
        elif form == "chat":
            chat = self._chat(prompt.chat, f"{field}.chat", add_generation_prompt)
            text = chat.text
            self._check_characters(len(text), f"{field}.chat")
            ids = list(self._tokenizer.encode(text, add_special_tokens=False))
        else:
            ids = []
        if not ids:
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "PROMPT_EMPTY",
                f"{field} has no tokens",
                field=field,
            )
        if len(ids) > self._limit:
            raise self._too_long(len(ids), field)
        return EncodedPrompt(ids, self._tokenizer, text, chat)

    def _check_characters(self, characters: int, field: str) -> None:
        tokens = -(-characters // self._longest_token)
        if tokens > self._limit:
            raise self._too_long(tokens, field)

    def _too_long(self, tokens: int, field: str) -> ApiError:
        return ApiError(
            grpc.StatusCode.INVALID_ARGUMENT,
            "PROMPT_TOO_LONG",
            f"{field} has {tokens} tokens or more; at most {self._limit} fit the model's context "
            "with one generated",
            field=field,
            tokens=tokens,
            limit=self._limit,
        )

    def _check_ids(self, ids: list[int], field: str) -> list[int]:
        for i, token_id in enumerate(ids):
            if token_id >= self._vocabulary_size:
                raise ApiError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "TOKEN_ID_OUT_OF_RANGE",
                    f"{field}[{i}] is {token_id}; the vocabulary has {self._vocabulary_size}",
                    field=f"{field}[{i}]",
                    value=token_id,
                    limit=self._vocabulary_size - 1,
                )
        return ids

    def _chat(self, chat: pb.Chat, field: str, add_generation_prompt: bool) -> RenderedChat:
        if not self.has_chat_template:
            raise _chat_invalid(field, "the model has no chat template")
        # Every message takes a token or more, whatever the template.
        if len(chat.messages) > self._limit:
            raise self._too_long(len(chat.messages), field)
        for i, message in enumerate(chat.messages):
            if message.role not in ROLES:
                invalid(
                    f"{field}.messages[{i}].role",
                    "must be SYSTEM, USER, ASSISTANT or TOOL",
                    value=message.role,
                )
        self._check_characters(sum(len(m.content) for m in chat.messages), field)
        if chat.HasField("add_generation_prompt"):
            add_generation_prompt = chat.add_generation_prompt
        messages: list[tuple[int, str]] = [(m.role, m.content) for m in chat.messages]
        try:
            return RenderedChat.of(self._tokenizer, messages, add_generation_prompt)
        except jinja2.TemplateError:
            # Templates refuse what they cannot render, such as two user turns in a row.
            raise _chat_invalid(field, "the model's template refuses this chat") from None


def _chat_invalid(field: str, problem: str) -> ApiError:
    return ApiError(
        grpc.StatusCode.INVALID_ARGUMENT, "CHAT_INVALID", f"{field}: {problem}", field=field
    )
