"""Stands in for an OfflineEngine: a token is a word, and the stream of a token is its length."""

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np

from vagus_server.extract.offline import Done, Job

SITES, HIDDEN = 2, 3


class WordTokenizer:
    """One token a word: the number of its letters."""

    chat_template = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [len(word) for word in text.split()]}


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

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        for index, job in enumerate(jobs):
            self.jobs.append(job)
            reply = self._reply(job)
            seen = job.token_ids + reply[:-1]
            rows = [seen[start:end] for start, end in job.spans]
            means = np.array([np.mean(row) if row else np.nan for row in rows])
            yield Done(
                index=index,
                token_ids=reply,
                means=np.broadcast_to(means[:, None, None], (len(rows), SITES, HIDDEN)),
                norms=np.broadcast_to(means[:, None], (len(rows), SITES)),
                counts=np.array([len(row) for row in rows]),
                prompt_logprobs=[-float(token) for token in job.token_ids[1:]],
            )
