"""From the messages of the wire to results."""

from dataclasses import replace

from vagus._errors import DataLoss
from vagus._policy import PolicyEvent, policy_event
from vagus._readout import TokenReadout, TurnReadout, token_readout, turn_readout
from vagus._result import Event, FinishReason, Reading, Result, Token
from vagus.v1 import generation_service_pb2 as pb
from vagus.v1.readout_service_pb2 import ReadTextResponse

_FINISH_REASONS: dict[int, FinishReason] = {
    pb.FINISH_REASON_STOP: "stop",
    pb.FINISH_REASON_LENGTH: "length",
    pb.FINISH_REASON_POLICY: "policy",
}


class Accumulator:
    """Turns the messages of one generation into events, and adds them up to a result.

    Args:
        continuations: How many were asked for.
    """

    def __init__(self, continuations: int = 1) -> None:
        self._parts = [_Part() for _ in range(continuations)]
        self._prompt_readouts: tuple[TokenReadout, ...] = ()
        #: Of the layout that came last; the names are read once, not with every message.
        self._concepts: tuple[str, ...] = ()
        self._pack_digest = ""
        self.request_id = ""

    def push(self, message: pb.StreamGenerateResponse | pb.GenerateResponse) -> Event:
        """Add a message, which for a unary call is the whole answer.

        Raises:
            DataLoss: The message contradicts itself, or what was asked.
        """
        if message.HasField("layout"):
            self._concepts = tuple(message.layout.concepts)
            self._pack_digest = message.layout.pack_digest
        concepts = self._concepts
        if isinstance(message, pb.StreamGenerateResponse):
            index = message.index
        else:
            index = 0
            for i, other in enumerate(message.others, 1):
                self._part(i).push(other, concepts, i)
        event = self._part(index).push(message, concepts, index)
        if not message.prompt_readouts:
            return event
        readouts = tuple(token_readout(r, concepts) for r in message.prompt_readouts)
        self._prompt_readouts += readouts
        return replace(event, prompt_readouts=readouts)

    def _part(self, index: int) -> "_Part":
        if index >= len(self._parts):
            raise DataLoss(f"{len(self._parts)} continuations were asked for, and more came")
        return self._parts[index]

    @property
    def is_complete(self) -> bool:
        """Whether messages have said how all continuations ended."""
        return all(part.finish.reason for part in self._parts)

    def check_complete(self) -> None:
        """Raise `DataLoss` when no message said how a continuation ended."""
        if not self.is_complete:
            raise DataLoss("the stream ended without its last message", request_id=self.request_id)

    @property
    def result(self) -> Result:
        """Everything that has arrived."""
        digest, request_id = self._pack_digest, self.request_id
        first, *others = (part.result(digest, request_id) for part in self._parts)
        return replace(first, prompt_readouts=self._prompt_readouts, others=tuple(others))


class _Part:
    """One continuation."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._tokens: list[Token] = []
        self._policy_events: list[PolicyEvent] = []
        self._turn: TurnReadout | None = None
        self.finish = pb.Finish()

    def push(
        self,
        message: pb.StreamGenerateResponse | pb.GenerateResponse | pb.Continuation,
        concepts: tuple[str, ...],
        index: int,
    ) -> Event:
        """Add a message."""
        reason = None
        if message.HasField("finish"):
            finish = self.finish = message.finish
            reason = _FINISH_REASONS.get(finish.reason)
            if finish.HasField("turn"):
                self._turn = turn_readout(finish.turn, concepts)
        event = Event(
            message.text,
            tuple([_token(token, concepts) for token in message.tokens]),
            finish_reason=reason,
            policy_events=tuple(map(policy_event, message.policy_events)),
            index=index,
        )
        self._text.append(event.text)
        self._tokens += event.tokens
        self._policy_events += event.policy_events
        return event

    def result(self, pack_digest: str, request_id: str) -> Result:
        """What has arrived of it."""
        finish = self.finish
        return Result(
            text="".join(self._text),
            tokens=tuple(self._tokens),
            prompt_readouts=(),
            finish_reason=_FINISH_REASONS.get(finish.reason),
            stop=finish.stop,
            stop_token_id=finish.stop_token_id if finish.HasField("stop_token_id") else None,
            policy=finish.policy,
            policy_events=tuple(self._policy_events),
            usage=finish.usage,
            receipt=finish.receipt if finish.HasField("receipt") else None,
            turn=self._turn,
            pack_digest=pack_digest,
            request_id=request_id,
        )


def readings(response: ReadTextResponse) -> list[Reading]:
    """Decode the answer of ReadText."""
    concepts, digest = tuple(response.layout.concepts), response.layout.pack_digest
    return [
        Reading(
            tokens=tuple(
                Token(
                    token.id,
                    token.text,
                    token_readout(token.readout, concepts),
                    token.logprob if token.HasField("logprob") else None,
                )
                for token in result.tokens
            ),
            mean=turn_readout(result.mean, concepts),
            token_count=result.token_count,
            receipt=result.receipt if result.HasField("receipt") else None,
            pack_digest=digest,
        )
        for result in response.results
    ]


def _token(message: pb.GeneratedToken, concepts: tuple[str, ...]) -> Token:
    readout = token_readout(message.readout, concepts) if message.HasField("readout") else None
    return Token(
        id=message.id,
        text=message.text,
        readout=readout,
        logprob=message.logprob if message.HasField("logprob") else None,
        top_logprobs=tuple(message.top_logprobs),
    )
