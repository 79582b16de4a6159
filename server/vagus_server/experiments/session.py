"""A connection to the server under experiment, and what every experiment asks of it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from vagus import AsyncClient, Chat, Message, Model, Pack, Program, Readouts, Result, VagusError
from vagus_server.experiments.coherence import Coherence, distinct_share
from vagus_server.experiments.progress import Progress

T = TypeVar("T")
R = TypeVar("R")

#: Concepts whose names begin so are random directions; see `vagus-server experiment controls`.
CONTROL_PREFIX = "random-"
#: Readings of whole texts in one call.
_BATCH = 16
_RETRIES = 8
_TIMEOUT_S = 600.0


def is_control(name: str) -> bool:
    """Whether a concept's name says that it is a random direction."""
    return name.startswith(CONTROL_PREFIX)


class ExperimentError(RuntimeError):
    """The experiment cannot be run on this server; the message says why."""


@dataclass(frozen=True)
class TextReading:
    """What the unsteered model makes of a text after a prompt."""

    #: Mean z-score over the text's tokens, per concept.
    z: dict[str, float]
    coherence: Coherence


class Session:
    """A connection; use it with `async with`.

    Args:
        server: host:port.
        concurrency: most requests under way at once.

    Attributes:
        model: as the server describes it.
        pack: the served pack.
        concepts: names of its concepts, without controls.
        controls: names of its random directions.
    """

    model: Model
    pack: Pack
    concepts: list[str]
    controls: list[str]

    def __init__(self, server: str, concurrency: int = 64) -> None:
        self.server = server
        self.client = AsyncClient(server, timeout=_TIMEOUT_S, max_retries=_RETRIES)
        self._places = asyncio.Semaphore(concurrency)

    async def __aenter__(self) -> Self:
        await self.client.__aenter__()
        try:
            self.model, self.pack = await self.client.model(), await self.client.pack()
            names = [concept.name for concept in await self.client.concepts()]
        except VagusError as error:
            await self.client.close()
            raise ExperimentError(f"{self.server} does not answer: {error}") from error
        self.controls = [name for name in names if is_control(name)]
        self.concepts = [name for name in names if not is_control(name)]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.client.close()

    def choose(self, wanted: Sequence[str], count: int | None = None) -> list[str]:
        """The wanted concepts that the pack has, in their order, at most `count`.

        Raises:
            ExperimentError: it has none of them.
        """
        found = [name for name in wanted if name in self.concepts][:count]
        if not found:
            raise ExperimentError(f"the pack {self.pack.name} has none of {', '.join(wanted)}")
        return found

    async def each(
        self, what: str, items: Iterable[T], work: Callable[[T], Awaitable[R]]
    ) -> list[R]:
        """Does the work for every item, concurrently, with progress; results in order.

        Items are begun in their order, so that neighbours with a common beginning share the
        server's prefix cache. The first failure cancels the rest.
        """
        todo = list(items)
        progress = Progress(what, len(todo))

        async def one(item: T) -> R:
            async with self._places:
                result = await work(item)
            progress.advance()
            return result

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(item)) for item in todo]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return [task.result() for task in tasks]

    async def write(
        self, messages: Sequence[Message], program: Program, tokens: int, **sampling: Any
    ) -> Result:
        """A reply in a chat."""
        return await self.client.generate(messages, program=program, max_tokens=tokens, **sampling)

    async def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Tokens of a chat up to the opening of the reply, as the server renders them."""
        return [id for id, _ in await self._rendered(messages)]

    async def chat_text(self, messages: Sequence[Message]) -> str:
        """The same as text that gives these tokens when it is sent as a plain prompt.

        Raises:
            ExperimentError: it does not, since the chat has bytes that are no text by themselves.
        """
        rendered = await self._rendered(messages)
        text = "".join(text for _, text in rendered)
        (reading,) = await self.client.read(text, 1)
        again = [(token.id, token.text) for token in reading.tokens]
        if again != rendered and again[1:] == rendered:
            # The tokenizer puts a beginning of its own before plain text: the template's goes.
            text = text.removeprefix(rendered[0][1])
        elif again != rendered:
            raise ExperimentError("the model's chat template does not survive as plain text")
        return text

    async def _rendered(self, messages: Sequence[Message]) -> list[tuple[int, str]]:
        (reading,) = await self.client.read(Chat(messages, add_generation_prompt=True), 1)
        return [(token.id, token.text) for token in reading.tokens]

    async def read_replies(
        self,
        what: str,
        texts: Sequence[tuple[list[int], list[int]]],
        concepts: Sequence[str],
    ) -> list[TextReading]:
        """Reads replies again, unsteered.

        Args:
            texts: tokens of prompt and reply each; the reply must not be empty.
            concepts: what is read, in z-scores at the pack's readout site.
        """
        batches = [texts[i : i + _BATCH] for i in range(0, len(texts), _BATCH)]
        wanted = Readouts(concepts, prompt=True)

        async def read(batch: Sequence[tuple[list[int], list[int]]]) -> list[TextReading]:
            inputs = [prompt + reply for prompt, reply in batch]
            readings = await self.client.read(inputs, wanted, logprobs=True)
            return [
                text_reading(reading.tokens[len(prompt) :], reply, concepts)
                for reading, (prompt, reply) in zip(readings, batch, strict=True)
            ]

        return [result for part in await self.each(what, batches, read) for result in part]


def text_reading(tokens: Sequence[Any], reply: list[int], concepts: Sequence[str]) -> TextReading:
    """Means over the tokens of a reply that was read."""
    zs = [token.readout.z for token in tokens]
    surprise = -sum(token.logprob for token in tokens) / len(tokens)
    return TextReading(
        {name: sum(z[name] for z in zs) / len(zs) for name in concepts},
        Coherence(surprise, distinct_share(reply)),
    )
