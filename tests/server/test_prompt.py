"""Prompts: what becomes of each form, with a tokenizer of one token per character."""

from collections.abc import Sequence
from typing import Any

import jinja2
import pytest

from vagus.v1.prompt_pb2 import Chat, ChatMessage, Prompt, Role, TokenIds
from vagus_server.errors import ApiError
from vagus_server.services.prompt import PromptEncoder

LENGTH, VOCABULARY = 40, 128


class Tokenizer:
    """One token per character; a 0 in front of what is no chat, as models with a BOS do."""

    chat_template: str | None = "template"
    vocabulary: Sequence[str] = tuple(map(chr, range(VOCABULARY)))

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        self.encoded.append(text)
        return [0] * add_special_tokens + [ord(c) for c in text]

    def get_vocab(self) -> dict[str, int]:
        return {text: i for i, text in enumerate(self.vocabulary)}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool
    ) -> str:
        assert not tokenize
        if [m["role"] for m in messages].count("system") > 1:
            raise jinja2.TemplateError("secret: /etc/template line 3")
        text = "".join(f"{m['role'][0]}{m['content']};" for m in messages)
        return text + "a" * add_generation_prompt


@pytest.fixture
def tokenizer() -> Tokenizer:
    return Tokenizer()


@pytest.fixture
def encoder(tokenizer: Tokenizer) -> PromptEncoder:
    return PromptEncoder(tokenizer, VOCABULARY, LENGTH)


def chat(*turns: tuple[str, str], **options: Any) -> Prompt:
    messages = [ChatMessage(role=Role.Value(f"ROLE_{r}"), content=c) for r, c in turns]
    return Prompt(chat=Chat(messages=messages, **options))


def encode(encoder: PromptEncoder, prompt: Prompt, opening: bool = True) -> list[int]:
    return encoder.encode(prompt, "prompt", add_generation_prompt=opening).ids


def refusal(encoder: PromptEncoder, prompt: Prompt) -> ApiError:
    with pytest.raises(ApiError) as caught:
        encode(encoder, prompt)
    return caught.value


def test_text_as_it_stands(encoder: PromptEncoder) -> None:
    assert encode(encoder, Prompt(text="ab")) == [0, 97, 98]


def test_ids_as_they_are(encoder: PromptEncoder) -> None:
    prompt = Prompt(token_ids=TokenIds(ids=[5, 0, VOCABULARY - 1]))
    assert encode(encoder, prompt) == [5, 0, VOCABULARY - 1]


@pytest.mark.parametrize(
    ("asked", "by_default", "text"),
    [({}, True, "uHi;a"), ({}, False, "uHi;"), ({"add_generation_prompt": False}, True, "uHi;"),
     ({"add_generation_prompt": True}, False, "uHi;a")],
)  # fmt: skip
def test_chat_by_the_models_template(
    encoder: PromptEncoder, asked: dict[str, bool], by_default: bool, text: str
) -> None:
    """The template brings its own special tokens; none is added."""
    ids = encode(encoder, chat(("USER", "Hi"), **asked), by_default)
    assert ids == [ord(c) for c in text]


def test_all_roles(encoder: PromptEncoder, tokenizer: Tokenizer) -> None:
    encode(encoder, chat(("SYSTEM", ""), ("USER", "b"), ("ASSISTANT", "c"), ("TOOL", "d")))
    assert tokenizer.encoded == ["s;ub;ac;td;a"]


def test_a_prompt_leaves_room_for_one_token(encoder: PromptEncoder) -> None:
    most = Prompt(text="x" * (LENGTH - 2))
    assert len(encode(encoder, most)) == LENGTH - 1
    error = refusal(encoder, Prompt(text="x" * (LENGTH - 1)))
    assert error.reason == "PROMPT_TOO_LONG"
    assert error.metadata == {"field": "prompt", "tokens": "40", "limit": "39"}


def test_a_text_that_could_fit_is_tokenised(tokenizer: Tokenizer) -> None:
    """Some vocabularies have tokens of 80 spaces and more."""
    tokenizer.vocabulary = ["x", "x" * 10]
    encoder = PromptEncoder(tokenizer, VOCABULARY, LENGTH)
    refusal(encoder, Prompt(text="x" * 390))
    assert len(tokenizer.encoded) == 1
    error = refusal(encoder, Prompt(text="x" * 391))
    assert len(tokenizer.encoded) == 1
    assert error.metadata["tokens"] == "40"


@pytest.mark.parametrize(
    "prompt",
    [Prompt(text="x" * 10_000), chat(("USER", "x" * 5000), ("ASSISTANT", "x" * 5000)),
     chat(*[("USER", "")] * LENGTH), chat(*[("USER", "x")] * 20),
     Prompt(token_ids=TokenIds(ids=[1] * 10_000))],
)  # fmt: skip
def test_enormous_prompts_are_never_tokenised(
    encoder: PromptEncoder, tokenizer: Tokenizer, prompt: Prompt
) -> None:
    assert refusal(encoder, prompt).reason == "PROMPT_TOO_LONG"
    assert tokenizer.encoded == []


@pytest.mark.parametrize(
    "prompt", [Prompt(), Prompt(token_ids=TokenIds()), chat()], ids=["none", "ids", "chat"]
)
def test_nothing_is_refused(encoder: PromptEncoder, prompt: Prompt) -> None:
    error = refusal(encoder, prompt)
    assert (error.reason, error.metadata) == ("PROMPT_EMPTY", {"field": "prompt"})


def test_ids_out_of_the_vocabulary_are_refused(encoder: PromptEncoder) -> None:
    error = refusal(encoder, Prompt(token_ids=TokenIds(ids=[1, VOCABULARY])))
    assert error.reason == "TOKEN_ID_OUT_OF_RANGE"
    assert error.metadata == {"field": "prompt.token_ids.ids[1]", "value": "128", "limit": "127"}


def test_a_chat_that_the_template_refuses(encoder: PromptEncoder) -> None:
    error = refusal(encoder, chat(("SYSTEM", "a"), ("SYSTEM", "b")))
    assert (error.reason, error.metadata) == ("CHAT_INVALID", {"field": "prompt.chat"})
    assert "secret" not in error.message


def test_a_model_without_a_template(encoder: PromptEncoder, tokenizer: Tokenizer) -> None:
    tokenizer.chat_template = None
    assert not encoder.has_chat_template
    assert refusal(encoder, chat(("USER", "Hi"))).reason == "CHAT_INVALID"


@pytest.mark.parametrize("role", ["ROLE_UNSPECIFIED", "unknown"])
def test_roles_must_be_known(encoder: PromptEncoder, role: str) -> None:
    number = 99 if role == "unknown" else Role.Value(role)
    message = ChatMessage(role=number, content="Hi")
    error = refusal(encoder, Prompt(chat=Chat(messages=[message])))
    assert error.reason == "FIELD_INVALID"
    assert error.metadata == {"field": "prompt.chat.messages[0].role", "value": str(number)}


def test_texts_of_single_tokens(encoder: PromptEncoder) -> None:
    assert [encoder.token_text(97) for _ in range(2)] == ["a", "a"]


def test_what_is_found_out_of_a_prompt_is_kept(encoder: PromptEncoder) -> None:
    """For all operations, and for each change of a program while it runs."""
    encoded = encoder.encode(Prompt(text="Hi"), "prompt", add_generation_prompt=False)
    assert encoded.map is encoded.map
