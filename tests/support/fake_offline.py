"""Stands in for an OfflineEngine: a token is a word, and its stream is the same wherever it is."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from vagus_server.extract.offline import Done, Job

SITES, HIDDEN, VOCABULARY = 3, 12, 1000


class WordTokenizer:
    """One token a word: the number that it is, or one that is made of its letters."""

    chat_template = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [_token(word) for word in text.split()]}


def _token(word: str) -> int:
    return int(word) if word.isdigit() else zlib.crc32(word.encode()) % VOCABULARY


class FakeOffline:
    """Measures at once.

    Args:
        longest: most tokens of a text.
        reply: the tokens that a job is answered with.
    """

    def __init__(
        self, longest: int = 1000, reply: Callable[[Job], list[int]] = lambda _: [1]
    ) -> None:
        self.longest, self._reply = longest, reply
        self.tokenizer = WordTokenizer()
        self.plugin = SimpleNamespace(sites=SITES, hidden_size=HIDDEN)
        self.jobs: list[Job] = []
        rng = np.random.default_rng(0)
        #: Of each token, [sites, hidden]; the first value is the token itself.
        self.stream = rng.standard_normal((VOCABULARY, SITES, HIDDEN))
        self.stream[:, 0, 0] = np.arange(VOCABULARY)
        self._bank = np.ones((64, SITES, HIDDEN))
        self.read_vectors([])

    def put_vectors(self, first: int, vectors: np.ndarray) -> None:
        self._bank[first : first + len(vectors)] = vectors

    def read_vectors(self, indices: list[int]) -> None:
        units = self._bank[indices]
        self._units = units / np.linalg.norm(units, axis=-1, keepdims=True)
        self.take_moments()

    def take_moments(self) -> tuple[int, np.ndarray]:
        taken = getattr(self, "_moments", (0, np.zeros(0)))
        self._moments = (0, np.zeros((2, SITES, len(self._units))))
        return taken

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        for index, job in enumerate(jobs):
            self.jobs.append(job)
            reply = self._reply(job)
            seen = self.stream[job.token_ids + reply[:-1]]
            for start, end in job.read:
                found = np.einsum("tsh,csh->tsc", seen[start:end], self._units)
                number, moments = self._moments
                both = np.stack([found.sum(axis=0), (found**2).sum(axis=0)])
                self._moments = number + len(found), moments + both
            rows = [seen[start:end] for start, end in job.spans]
            nothing = np.full((1, SITES, HIDDEN), np.nan)
            means = [(row if len(row) else nothing).mean(axis=0) for row in rows]
            yield Done(
                index=index,
                token_ids=reply,
                means=np.array(means),
                norms=np.linalg.norm(means, axis=-1) if means else np.zeros((0, SITES)),
                counts=np.array([len(row) for row in rows]),
                prompt_logprobs=[-token / VOCABULARY for token in job.token_ids[1:]],
            )

    def close(self) -> None:
        """Nothing is held."""
