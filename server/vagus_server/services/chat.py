"""Chats: rendered by the model's own template, and where each turn's words went."""

from dataclasses import dataclass
from typing import Any, Self

import jinja2

from vagus.v1 import prompt_pb2 as pb

ROLES: dict[int, str] = {
    pb.ROLE_SYSTEM: "system",
    pb.ROLE_USER: "user",
    pb.ROLE_ASSISTANT: "assistant",
    pb.ROLE_TOOL: "tool",
}
#: Stands for a message's content where it is looked for. Templates leave it alone: it is one
#: word, and no text that people write holds it.
_MARK = "\u2063VAGUS{}\u2063"


@dataclass(frozen=True)
class RenderedChat:
    """A chat in the model's own words.

    Args:
        text: as the template renders it.
        messages: (role, content).
        tokenizer: whose template it is.
        add_generation_prompt: whether the text ends with the opening of the reply.
    """

    text: str
    messages: list[tuple[int, str]]
    tokenizer: Any
    add_generation_prompt: bool

    @classmethod
    def of(
        cls, tokenizer: Any, messages: list[tuple[int, str]], add_generation_prompt: bool
    ) -> Self:
        """Renders; raises jinja2.TemplateError where the template refuses."""
        text = _render(tokenizer, messages, add_generation_prompt) if messages else ""
        return cls(text, messages, tokenizer, add_generation_prompt)

    def turns(self) -> list[tuple[int, int, int]] | None:
        """Role, first character and end of each message's content in the text.

        The template is rendered once more with marks for contents. None where putting the
        contents in for the marks does not give the text: a template that changes them leaves
        no way to tell exactly which tokens are whose.
        """
        marks = [_MARK.format(i) for i in range(len(self.messages))]
        marked = [(role, mark) for (role, _), mark in zip(self.messages, marks, strict=True)]
        try:
            template = _render(self.tokenizer, marked, self.add_generation_prompt)
        except jinja2.TemplateError:
            return None
        turns, text, rest = [], "", template
        for (role, content), mark in zip(self.messages, marks, strict=True):
            before, found, rest = rest.partition(mark)
            # Many templates strip what people type at both ends.
            shown = content if self.text.startswith(text + before + content) else content.strip()
            text += before
            turns.append((role, len(text), len(text) + len(shown)))
            text += shown
            if not found:
                return None
        return turns if text + rest == self.text else None


def _render(tokenizer: Any, messages: list[tuple[int, str]], add_generation_prompt: bool) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": ROLES[role], "content": content} for role, content in messages],
        tokenize=False,
        add_generation_prompt=add_generation_prompt,
    )
    return text
