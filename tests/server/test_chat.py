"""Chats: where each turn's words are in what the template made of them."""

from typing import Any

import jinja2
import pytest

from vagus.v1 import prompt_pb2 as pb
from vagus_server.services.chat import RenderedChat

SYSTEM, USER, ASSISTANT = pb.ROLE_SYSTEM, pb.ROLE_USER, pb.ROLE_ASSISTANT
PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
DEFAULT = "{% if messages[0].role != 'system' %}<system>Be kind.\n{% endif %}" + PLAIN
STRIPPING = PLAIN.replace("m.content", "m.content | trim")
SHOUTING = PLAIN.replace("m.content", "m.content | upper")
COUNTING = PLAIN.replace("{{ m.content }}", "{{ m.content | length }}: {{ m.content }}")
FORGETFUL = "{% for m in messages[-1:] %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
OPENING = "{% if add_generation_prompt %}<assistant>{% endif %}"


class Tokenizer:
    def __init__(self, template: str) -> None:
        self._template = jinja2.Environment().from_string(template + OPENING)

    def apply_chat_template(self, messages: Any, tokenize: bool, **options: Any) -> str:
        assert not tokenize
        return self._template.render(messages=messages, **options)


def chat(template: str, *messages: tuple[int, str], opening: bool = True) -> RenderedChat:
    return RenderedChat.of(Tokenizer(template), list(messages), opening)


def shown(rendered: RenderedChat) -> list[tuple[int, str]] | None:
    turns = rendered.turns()
    return turns and [(role, rendered.text[start:end]) for role, start, end in turns]


TALK = ((USER, "Hi"), (ASSISTANT, "Hi"), (USER, "Hi <user>Hi\n"))


@pytest.mark.parametrize("template", [PLAIN, DEFAULT])
@pytest.mark.parametrize("opening", [True, False])
def test_each_turn_is_its_content(template: str, opening: bool) -> None:
    rendered = chat(template, *TALK, opening=opening)
    assert shown(rendered) == list(TALK)
    assert rendered.text.endswith("<assistant>") == opening


def test_contents_that_the_template_strips() -> None:
    rendered = chat(STRIPPING, (SYSTEM, "  Short.\n"), (USER, " Hi "))
    assert shown(rendered) == [(SYSTEM, "Short."), (USER, "Hi")]


def test_empty_contents() -> None:
    assert shown(chat(PLAIN, (USER, ""), (ASSISTANT, ""))) == [(USER, ""), (ASSISTANT, "")]


@pytest.mark.parametrize("template", [SHOUTING, COUNTING, FORGETFUL])
def test_turns_that_cannot_be_told_apart_are_not_guessed(template: str) -> None:
    assert chat(template, *TALK).turns() is None


def test_no_messages() -> None:
    assert chat(PLAIN).text == ""
