"""Asks the model which of two activities it would rather do."""

from collections.abc import Sequence
from dataclasses import dataclass

from vagus import Characters, Program, Result, add
from vagus_server.experiments.session import ExperimentError, Session

_ASK, _OR, _END = "Which of these would you rather do?\n(A) ", "\n(B) ", "\nAnswer with A or B."
_PREFILL = "("
_ALTERNATIVES = 20


@dataclass(frozen=True)
class Choice:
    """A prompt for two activities, as plain text."""

    text: str
    #: Characters of the first and of the second activity.
    first: Characters
    second: Characters


@dataclass(frozen=True)
class Answer:
    """What was answered: log-odds of A against B."""

    log_odds: float
    #: Whether A or B was not among the likeliest tokens, so that the odds are a bound.
    cut: bool


class Asker:
    """Builds and asks choices; make it with `Asker.of`."""

    def __init__(self, session: Session, opening: str, closing: str) -> None:
        self._session, self._opening, self._closing = session, opening, closing

    @classmethod
    async def of(cls, session: Session) -> "Asker":
        """Takes the chat template as text from the server, so that characters can be scoped."""
        text = await session.chat_text([{"role": "user", "content": "MARK"}])
        if text.count("MARK") != 1:
            raise ExperimentError("the model's chat template does not show a message as it is")
        opening, closing = text.split("MARK")
        return cls(session, opening, closing + _PREFILL)

    def choice(self, first: str, second: str) -> Choice:
        """The prompt."""
        start = len(self._opening) + len(_ASK)
        other = start + len(first) + len(_OR)
        return Choice(
            f"{self._opening}{_ASK}{first}{_OR}{second}{_END}{self._closing}",
            Characters(start, start + len(first)),
            Characters(other, other + len(second)),
        )

    async def ask(self, choice: Choice, program: Program | None = None) -> Answer:
        """The log-odds of A against B for the first token of the answer."""
        result = await self._session.client.generate(
            choice.text, program=program, temperature=0, max_tokens=1, logprobs=_ALTERNATIVES
        )
        return answer(result)


def steer(concept: str, strength: float, sites: Sequence[int], where: Characters) -> Program:
    """Steers the tokens of one activity alone."""
    return [add(concept, strength, sites=sites, scope=where)]


def answer(result: Result) -> Answer:
    """Log-odds of A against B from the likeliest first tokens."""
    likely = {
        entry.text.strip(): entry.logprob for entry in reversed(result.tokens[0].top_logprobs)
    }
    floor = min(likely.values())
    found = [likely.get(letter, floor) for letter in "AB"]
    return Answer(found[0] - found[1], not {"A", "B"} <= likely.keys())
