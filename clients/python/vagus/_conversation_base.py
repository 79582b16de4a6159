"""What both kinds of conversation share: changes, their answers and their proof."""

import threading
from collections.abc import Callable
from typing import Any

from vagus._change import Change, change_message
from vagus._errors import DataLoss
from vagus._operation import Program
from vagus._outbox import AnyOutbox
from vagus._receipt import Asked, verify_programs
from vagus._result import Event
from vagus._retry import Attempts
from vagus._selection import ReadoutsLike
from vagus._status import Metadata
from vagus._stream_base import StreamBase
from vagus.v1.generation_service_pb2 import Changed, ConverseRequest, ConverseResponse


class ConversationBase(StreamBase):
    """State of one conversation.

    Args:
        start: Starts the call, given the seconds that it may take.
        attempts: The attempts that it has.
        program: The program that it starts with.
        outbox: What the call sends.
    """

    def __init__(
        self,
        start: Callable[[float], Any],
        attempts: Attempts,
        program: Program | None,
        outbox: AnyOutbox,
    ) -> None:
        super().__init__(start, attempts)
        self._program = program or ()
        self._outbox = outbox
        self._changes: dict[str, Change] = {}
        self._answered: list[Change] = []
        # Changes may come from another thread than the one that iterates.
        self._changing = threading.Lock()

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes that were asked for, in order."""
        return tuple(self._changes.values())

    @property
    def _waits(self) -> bool:
        return any(not change.answered for change in self._changes.values())

    def change(
        self,
        program: Program | None = None,
        *,
        readouts: ReadoutsLike | None = None,
        stop_reading: bool = False,
        id: str | None = None,
        check: bool = True,
    ) -> Change:
        """Change the running request from the next token on that the server has not begun.

        It is sent at once and returned at once. Its answer comes with a later event, in that
        event's `changes`: go on iterating to receive it.

        Args:
            program: Replaces the whole program; empty, nothing is steered any more. None: it
                stays. What policies have added stays in any case.
            readouts: Replaces what is read of generated tokens. None: it stays.
            stop_reading: Read nothing any more.
            id: The caller's own id for it, at most 128 visible ASCII characters, unique in the
                conversation. None: "change-1" and so on.
            check: Whether its refusal is raised. The iteration then raises the error and cancels
                the request; where the request ended before the change, it raises at its end,
                when all else has arrived. Without it, look at the change yourself.

        Raises:
            FailedPrecondition: The conversation has ended, and `check` is set.
            RuntimeError: The conversation was not opened.
            TypeError: An argument is of the wrong type.
            ValueError: A unit, token set or role is unknown, or the id is taken.
        """
        self._check_open()
        with self._changing:
            change_id = f"change-{len(self._changes) + 1}" if id is None else id
            if not change_id or change_id in self._changes:
                raise ValueError(f"the id of a change must be its own, not {change_id!r}")
            message = change_message(change_id, program, readouts, stop_reading)
            asked = None if program is None else tuple(program)
            change = self._changes[change_id] = Change(change_id, asked, check)
            if self._ended:
                change.miss()
            else:
                self._outbox.put(ConverseRequest(change=message))
        if change.check and change.error is not None:
            raise change.error
        return change

    def verify(self) -> None:
        """Check the receipt against the program and all changes of it. See `verify_receipt`.

        Each program must have held, and have steered as asked, for exactly the positions that
        the answers to the changes told.

        Raises:
            ReceiptMismatch: The receipt is missing or says otherwise.
            RuntimeError: The request has not ended by itself.
        """
        result = self.result
        if result.finish_reason is None:
            raise RuntimeError("iterate to the end first: the receipt comes last")
        asked = [Asked(self._program)]
        for change in self._answered:
            if change.program is not None and change.program_from is not None:
                # What was to hold from there on, or from later on, never did.
                while len(asked) > 1 and asked[-1].start >= change.program_from:
                    asked.pop()
                asked.append(
                    Asked(change.program, change.program_from, change.id, change.program_digest)
                )
        usage = result.usage
        # The last generated token is never processed.
        end = usage.prompt_tokens + max(usage.generated_tokens, 1) - 1
        verify_programs(asked, result.receipt, end)

    def cancel(self) -> None:
        """Cancel the call, unless it has ended."""
        super().cancel()
        self._outbox.close()

    def _take(self, message: ConverseResponse) -> Event:
        if not message.HasField("changed"):
            return super()._take(message.output)
        self._received += 1
        return Event("", changes=(self._answer(message.changed),))

    def _answer(self, answer: Changed) -> Change:
        with self._changing:
            waiting = (change for change in self._changes.values() if not change.answered)
            change = next(waiting, None)
        # In order: one that was left out may have been made, and nobody would know from where on.
        if change is None or change.id != answer.id:
            expected = change.id if change else "none"
            raise DataLoss(f"the server answered the change {answer.id!r}; {expected} waits for it")
        change.take(answer)
        self._answered.append(change)
        # One that came too late spoils nothing that is still to come.
        if change.check and change.error is not None and not change.missed:
            raise change.error
        return change

    def _finish(self, trailing: Metadata) -> None:
        with self._changing:
            super()._finish(trailing)
        self._outbox.close()
        for change in self._changes.values():
            if not change.answered:
                change.miss(self._accumulator.request_id)
        for change in self._changes.values():
            if change.check and change.error is not None:
                raise change.error
