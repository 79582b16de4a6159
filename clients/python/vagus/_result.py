"""What calls return."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vagus._change import Change
from vagus._policy import PolicyEvent
from vagus._readout import TokenReadout, TurnReadout
from vagus.v1.generation_service_pb2 import TokenLogprob, Usage
from vagus.v1.steering_pb2 import Receipt

FinishReason: TypeAlias = Literal["stop", "length", "policy"]
"""Ended by end-of-sequence, stop string or stop token; by max_tokens or the context; or by a
policy of the server."""

HealthStatus: TypeAlias = Literal["SERVING", "NOT_SERVING", "SERVICE_UNKNOWN", "UNKNOWN"]
"""What the standard gRPC health service says."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes:
        id: Its id.
        text: Its text taken alone; may be empty or incomplete for byte tokens.
        readout: The state out of which it was chosen (generated tokens) or the state at it
            (tokens that were read). None when it was not asked for.
        logprob: Natural logarithm of its probability, when asked for.
        top_logprobs: The most likely alternatives, when asked for.
    """

    id: int
    text: str
    readout: TokenReadout | None = None
    logprob: float | None = None
    top_logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One message of a stream.

    Attributes:
        text: Text that can be shown now. It may lag behind the tokens.
        tokens: Tokens generated since the last event.
        prompt_readouts: Readouts of the prompt that were asked for; in the first event alone.
        finish_reason: Why the continuation ended; in its last event alone.
        policy_events: What policies did since the last event, in order.
        changes: Changes whose answer has come; such an event has nothing else.
        index: Which continuation it is of; 0 unless `n` is above 1.
    """

    text: str
    tokens: tuple[Token, ...] = ()
    prompt_readouts: tuple[TokenReadout, ...] = ()
    finish_reason: FinishReason | None = None
    policy_events: tuple[PolicyEvent, ...] = ()
    changes: tuple[Change, ...] = ()
    index: int = 0


@dataclass(frozen=True, slots=True)
class Result:
    """A generation, whole or as far as it has arrived.

    Attributes:
        text: The text, without the stop string that ended it.
        tokens: The tokens with their readouts.
        prompt_readouts: Readouts of the prompt that were asked for, in order of position.
        finish_reason: Why it ended. None: it has not ended.
        stop: The stop string that ended it, or "".
        stop_token_id: The stop token that ended it.
        policy: The policy that ended it, or "".
        policy_events: What policies did, in order.
        usage: Counts of tokens; zeros until the end.
        receipt: What the device did. None for unsteered requests, and until the end.
        turn: Mean readouts over the generated tokens, when those were read; at the end.
        pack_digest: SHA-256 of the pack that the readouts come from, or "".
        request_id: The id under which the server logged the request; at the end.
        others: The continuations after the first one, when `n` is above 1. Prompt readouts are
            the first one's.
    """

    text: str
    tokens: tuple[Token, ...]
    prompt_readouts: tuple[TokenReadout, ...]
    finish_reason: FinishReason | None
    stop: str
    stop_token_id: int | None
    policy: str
    policy_events: tuple[PolicyEvent, ...]
    usage: Usage
    receipt: Receipt | None
    turn: TurnReadout | None
    pack_digest: str
    request_id: str
    others: tuple["Result", ...] = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """The readouts of one text.

    Attributes:
        tokens: The tokens that were read, in order of position.
        mean: Mean over them without position 0, where many models keep an attention sink.
        token_count: Number of tokens in the text.
        receipt: What the device did, when a program was given.
        pack_digest: SHA-256 of the pack that the readouts come from.
    """

    tokens: tuple[Token, ...]
    mean: TurnReadout
    token_count: int
    receipt: Receipt | None
    pack_digest: str
