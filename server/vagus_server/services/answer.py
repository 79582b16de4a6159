"""From the engine's outputs to the messages of one stream."""

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import readout_pb2
from vagus_server.engine.request import STOPPED_BY_POLICY, EngineOutput
from vagus_server.engine.running import Running
from vagus_server.errors import ApiError, invalid
from vagus_server.readouts.render import Renderer
from vagus_server.readouts.selection import Selection
from vagus_server.services.policy import event_message
from vagus_server.services.prompt import PromptEncoder
from vagus_server.services.receipt import receipt_message
from vagus_server.services.turns import after_row

#: Largest message in either direction, in bytes.
MAX_MESSAGE_BYTES = 16 << 20
#: Rows of one call's prompts that may wait to be rendered, in bytes. They have all concepts of the
#: pack, whatever the answer has of them.
MAX_ROW_BYTES = 256 << 20
#: Of a generated token, and of each of its alternatives, in an answer: about so many.
_TOKEN_BYTES = _LOGPROB_BYTES = 20

_REASONS = {
    "stop": pb.FINISH_REASON_STOP,
    "length": pb.FINISH_REASON_LENGTH,
    STOPPED_BY_POLICY: pb.FINISH_REASON_POLICY,
}


class Answer:
    """Builds one request's messages in order.

    Args:
        encoder: for the tokens' texts.
        norms: mean residual norm of each site.
        prompt_tokens: length of the prompt.
        selection: what is read; None reads nothing.
        renderer: renders it; None exactly when selection is.
        index: which of the request's continuations it is.
    """

    def __init__(
        self,
        encoder: PromptEncoder,
        norms: Sequence[float],
        prompt_tokens: int,
        selection: Selection | None,
        renderer: Renderer | None,
        index: int = 0,
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._norms = norms
        self._selection = selection
        self._renderer = renderer
        self._prompt_tokens = prompt_tokens
        #: What there is of the next message already.
        self._next = pb.StreamGenerateResponse()
        self._prompt_told = False
        self._layout_told = False
        self._events = 0
        # The state out of which the first token is chosen is the last prompt token's.
        self._position = prompt_tokens - 1

    def read(self, selection: Selection | None, renderer: Renderer | None) -> int:
        """Reads otherwise from the next token on; returns the position of its readout.

        Every generated token's row must be kept for that; see `Sink`.
        """
        self._selection, self._renderer = selection, renderer
        self._layout_told = False
        return self._position

    @property
    def owes_prompt(self) -> bool:
        """Whether prompt tokens are to be told, and have not been."""
        selection = self._selection if not self._prompt_told else None
        return selection is not None and bool(selection.prompt_positions(self._prompt_tokens))

    async def read_prompt(self, running: Running) -> None:
        """Puts the prompt's readouts, if it owes them, into the next message.

        Others have their turns meanwhile, but what is read must not change.
        """
        selection, renderer = self._selection, self._renderer
        if self._prompt_told or selection is None or renderer is None:
            return
        self._prompt_told = True
        last = self._prompt_tokens - 1
        for position in selection.prompt_positions(self._prompt_tokens):
            row = checked_row(running, position, renderer.readout_sites)
            renderer.fill(self._next.prompt_readouts.add(), position, row)
            if position < last:  # the first generated token was chosen out of the last
                running.row(position)
            await after_row(position + 1)

    def message(self, running: Running, output: EngineOutput) -> pb.StreamGenerateResponse:
        """The message for an output. The first one comes after `read_prompt`."""
        message, self._next = self._next, pb.StreamGenerateResponse()
        message.text, message.index = output.text, self._index
        self._prompt_told = True
        for event in running.events[self._events :]:
            message.policy_events.append(event_message(event))
        self._events = len(running.events)
        if self._renderer is not None and not self._layout_told and not self._index:
            self._layout_told = True
            message.layout.CopyFrom(self._renderer.layout())
        for i, token_id in enumerate(output.token_ids):
            self._fill(message.tokens.add(), token_id, i, running, output)
            self._position += 1
        if output.finish_reason is not None:
            reason = _REASONS[output.finish_reason]
            message.finish.CopyFrom(self._finish(running, output, reason))
        return message

    def _fill(
        self,
        token: pb.GeneratedToken,
        token_id: int,
        i: int,
        running: Running,
        output: EngineOutput,
    ) -> None:
        token.id, token.text = token_id, self._encoder.token_text(token_id)
        if self._renderer is not None and self._selection and self._selection.generation:
            row = checked_row(running, self._position, self._renderer.readout_sites)
            self._renderer.fill(token.readout, self._position, row)
        running.row(self._position)
        if output.logprobs is not None and i < len(output.logprobs):
            self._add_logprobs(token, output.logprobs[i], running)

    def _add_logprobs(self, token: pb.GeneratedToken, entry: Any, running: Running) -> None:
        token.logprob = entry[token.id].logprob
        wanted: int = running.request.sampling["logprobs"]
        ranked = sorted(entry.items(), key=lambda item: -item[1].logprob)[:wanted]
        for token_id, info in ranked:
            token.top_logprobs.add(
                id=token_id, text=self._encoder.token_text(token_id), logprob=info.logprob
            )

    def _finish(self, running: Running, output: EngineOutput, reason: pb.FinishReason) -> pb.Finish:
        request = running.request
        finish = pb.Finish(
            reason=reason,
            usage=pb.Usage(
                prompt_tokens=len(request.token_ids),
                cached_prompt_tokens=output.cached_tokens,
                generated_tokens=running.generated,
            ),
        )
        if isinstance(output.stop_reason, str):
            finish.stop = output.stop_reason
        elif output.stop_reason is not None:
            finish.stop_token_id = output.stop_reason
        if running.stopped_by is not None:
            finish.policy = running.stopped_by.name
        receipt = receipt_message(running, self._norms)
        if receipt is not None:
            finish.receipt.CopyFrom(receipt)
        turn = turn_message(running, self._selection, self._renderer)
        if turn is not None:
            finish.turn.CopyFrom(turn)
        return finish


def turn_message(
    running: Running, selection: Selection | None, renderer: Renderer | None
) -> readout_pb2.TurnReadout | None:
    """The turn's mean readouts, when generation readouts were asked for and tokens came."""
    sink = running.sink
    if selection is None or renderer is None or not selection.generation:
        return None
    return None if sink.turn_sum is None else renderer.turn(sink.turn_sum, sink.turn_tokens)


def check_answer_size(selection: Selection, tokens: int, field: str) -> None:
    """Raises ApiError when the readouts of so many tokens would not fit one message."""
    size = selection.answer_bytes(tokens)
    if size > MAX_MESSAGE_BYTES:
        invalid(
            field,
            f"would take about {size} bytes for {tokens} tokens, and a message holds "
            f"{MAX_MESSAGE_BYTES}: read fewer tokens or concepts",
            value=size,
            limit=MAX_MESSAGE_BYTES,
        )


def check_prompt_rows(tokens: int, row_bytes: int, field: str) -> None:
    """Raises ApiError when the rows of so many prompt tokens are more than a call may have."""
    size = tokens * row_bytes
    if size > MAX_ROW_BYTES:
        invalid(
            field,
            f"reads {tokens} tokens of {row_bytes} bytes on their way, and a call may have "
            f"{MAX_ROW_BYTES} bytes: read fewer tokens",
            value=size,
            limit=MAX_ROW_BYTES,
        )


def check_whole_answer(readouts: int, tokens: int, logprobs: int, field: str) -> None:
    """Raises ApiError when generated tokens would not fit one message.

    Args:
        readouts: bytes of the readouts in it.
        tokens: that can be generated.
        logprobs: alternatives of each.
        field: path of the request's sampling.
    """
    size = readouts + tokens * (_TOKEN_BYTES + _LOGPROB_BYTES * logprobs)
    if size > MAX_MESSAGE_BYTES:
        invalid(
            f"{field}.max_tokens",
            f"allows {tokens} tokens, with all that is told of them about {size} bytes, and a "
            f"message holds {MAX_MESSAGE_BYTES}: ask for fewer, or stream them",
            value=size,
            limit=MAX_MESSAGE_BYTES,
        )


def checked_row(running: Running, position: int, readout_sites: Sequence[int]) -> np.ndarray:
    """The row of a position; raises when it is missing (a defect) or not finite.

    `readout_sites` are those of the row's first axis.
    """
    row = running.sink.rows.get(position)
    if row is None:
        raise RuntimeError(f"the readout of position {position} did not arrive")
    finite = np.isfinite(row)
    if not finite.all():
        site = readout_sites[int(np.argmin(finite.all(axis=(1, 2))))]
        raise ApiError(
            grpc.StatusCode.INTERNAL,
            "READOUT_NOT_FINITE",
            f"the readout of position {position} at site {site} is not finite",
            site=site,
            position=position,
        )
    return row
