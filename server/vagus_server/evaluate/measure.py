"""What the engine is asked for: means of stories, and of stretches of chats."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vagus.v1 import prompt_pb2 as pb
from vagus_server.engine.settings import EngineSettings
from vagus_server.evaluate.texts import Texts
from vagus_server.extract import measure
from vagus_server.extract.bar import progress
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.packs.corpus import Corpus
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.services.chat import RenderedChat


@dataclass(frozen=True)
class Read:
    """Means of the stream over user messages, each alone in a chat.

    Args:
        last: at the last token before the reply, [texts, sites, hidden].
        message: over the message's own tokens, [texts, sites, hidden].
    """

    last: np.ndarray
    message: np.ndarray


@dataclass(frozen=True)
class Spoken:
    """Means over exchanges, each [dialogues, sites, hidden].

    Args:
        user: over the user's words.
        assistant: over the assistant's words.
        user_end: at the last token of the user's words.
        colon: at the last token before the assistant's words.
    """

    user: np.ndarray
    assistant: np.ndarray
    user_end: np.ndarray
    colon: np.ndarray


@dataclass(frozen=True)
class Measured:
    """All that leaves the engine."""

    stories: np.ndarray
    neutral: np.ndarray
    other: np.ndarray
    earlier: np.ndarray
    implicit: Read
    scenarios: Read
    doses: list[Read]
    dialogues: Spoken


class Measurer:
    """Measures with one engine.

    Args:
        engine: the model.
        fingerprint: of the model.
        settings: of the engine.
        start: first token of a story that is averaged.
        work: folder of story means; those of an extraction are taken over.
    """

    def __init__(
        self,
        engine: OfflineEngine,
        fingerprint: str,
        settings: EngineSettings,
        start: int,
        work: Path,
    ) -> None:
        self.engine, self.fingerprint, self.settings = engine, fingerprint, settings
        self.start, self.work = start, work

    def run(self, corpus: Corpus, texts: Texts) -> Measured:
        """Measures everything."""
        neutral = [row.text for row in corpus.neutral]
        stories = [story.text for story in corpus.stories]
        other = [story.text for story in corpus.other]
        earlier = [story.text for story in corpus.earlier]
        return Measured(
            stories=self._means("stories", stories, self.start),
            neutral=self._means("neutral", neutral, measure.TEXT_START),
            other=self._means("other", other, self.start),
            earlier=self._means("earlier", earlier, self.start),
            implicit=self._read("implicit", [row.text for row in texts.implicit]),
            scenarios=self._read("scenarios", [row.text for row in corpus.scenarios]),
            doses=[self._read(dose.name, dose.texts()) for dose in texts.doses],
            dialogues=self._spoken([(one.user, one.assistant) for one in texts.dialogues]),
        )

    def _means(self, what: str, texts: list[str], start: int) -> np.ndarray:
        # As an extraction does, so that what it measured is found again.
        settings = measure.means_settings(self.fingerprint, self.settings, start)
        with progress(what, len(texts)) as bar:
            path = self.work / what
            return measure.text_means(self.engine, texts, start, path, settings, bar).array

    def _read(self, what: str, texts: list[str]) -> Read:
        jobs = []
        for text in texts:
            ids, turns = chat_tokens(self.engine.tokenizer, [(pb.ROLE_USER, text)], reply=True)
            jobs.append(Job(ids, spans=((len(ids) - 1, NO_END), turns[0])))
        spans = self._spans(what, jobs, 2)
        return Read(spans[:, 0], spans[:, 1])

    def _spoken(self, exchanges: list[tuple[str, str]]) -> Spoken:
        jobs = []
        for user, assistant in exchanges:
            messages = [(pb.ROLE_USER, user), (pb.ROLE_ASSISTANT, assistant)]
            ids, (one, two) = chat_tokens(self.engine.tokenizer, messages, reply=False)
            ends = ((one[1] - 1, one[1]), (two[0] - 1, two[0]))
            jobs.append(Job(ids, spans=(one, two, *ends)))
        spans = self._spans("dialogues", jobs, 4)
        return Spoken(*(spans[:, i] for i in range(4)))

    def _spans(self, what: str, jobs: list[Job], spans: int) -> np.ndarray:
        c = self.engine.plugin
        means = np.empty((len(jobs), spans, c.sites, c.hidden_size))
        with progress(what, len(jobs)) as bar:
            for done in self.engine.run(jobs):
                means[done.index] = done.means
                bar.update()
        return means


def chat_tokens(
    tokenizer: Any, messages: Sequence[tuple[int, str]], reply: bool
) -> tuple[list[int], list[Range]]:
    """Tokens of a chat, and the positions that hold each message's words.

    Args:
        tokenizer: one with a chat template and offsets.
        messages: role, content.
        reply: whether the chat ends where the assistant's reply begins.

    Raises:
        ValueError: the tokenizer has no template, or one in which words cannot be located.
    """
    if not tokenizer.chat_template:
        raise ValueError("the model has no chat template")
    chat = RenderedChat.of(tokenizer, list(messages), reply)
    turns = chat.turns()
    if turns is None:
        raise ValueError("the chat template changes what it is given: words cannot be located")
    encoded = tokenizer(chat.text, add_special_tokens=False, return_offsets_mapping=True)
    ranges = []
    for _, first, end in turns:
        held = [i for i, (a, b) in enumerate(encoded["offset_mapping"]) if a < end and b > first]
        ranges.append((held[0], held[-1] + 1))
    return list(encoded["input_ids"]), ranges
