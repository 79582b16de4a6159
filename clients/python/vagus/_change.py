"""A change of a running generation, and what became of it."""

from dataclasses import dataclass

from vagus._errors import FailedPrecondition, VagusError
from vagus._operation import Program
from vagus._program import program_message
from vagus._selection import ReadoutsLike, selection_message
from vagus._status import error_from_code
from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import steering_pb2


@dataclass(slots=True, eq=False)
class Change:
    """A change that was asked for. Its answer arrives while the conversation is iterated.

    Attributes:
        id: Its id, as in the receipt.
        program: The program that takes the place of the one before. None: that one stays.
        check: Whether the iteration raises when it is refused.
        answered: Whether its answer has arrived, or the request has ended before it.
        error: Why it was refused; None when it was not.
        program_from: First position that the new program holds for (0 is the prompt's first
            token). None unless a program was changed.
        program_digest: SHA-256 of that program, as in the receipt; "" for an empty one.
        readouts_from: First position whose readout follows the new selection. None unless the
            selection was changed.
    """

    id: str
    program: Program | None
    check: bool = True
    answered: bool = False
    error: VagusError | None = None
    program_from: int | None = None
    program_digest: str = ""
    readouts_from: int | None = None

    @property
    def applied(self) -> bool:
        """Whether it was made."""
        return self.answered and self.error is None

    @property
    def refused(self) -> bool:
        """Whether it was refused: the request went on as it was."""
        return self.error is not None

    def take(self, answer: pb.Changed) -> None:
        """Note the server's answer."""
        self.answered = True
        if answer.HasField("refusal"):
            refusal = answer.refusal
            self.error = error_from_code(
                refusal.code, refusal.message, reason=refusal.reason, metadata=refusal.metadata
            )
            return
        self.program_digest = answer.program_digest
        if answer.HasField("program_from"):
            self.program_from = answer.program_from
        if answer.HasField("readouts_from"):
            self.readouts_from = answer.readouts_from

    def miss(self, request_id: str = "") -> None:
        """Note that the request had ended before it."""
        self.answered = True
        self.error = FailedPrecondition(
            "the request ended before the change could hold",
            reason=CHANGE_TOO_LATE,
            request_id=request_id,
        )

    @property
    def missed(self) -> bool:
        """Whether the request had ended before it."""
        return self.error is not None and self.error.reason == CHANGE_TOO_LATE


CHANGE_TOO_LATE = "CHANGE_TOO_LATE"
"""Reason of a refusal that came of the request's own end."""


def change_message(
    change_id: str,
    program: Program | None,
    readouts: ReadoutsLike | None,
    stop_reading: bool,
) -> pb.Change:
    """The proto form of a change.

    Raises:
        TypeError: An argument is of the wrong type.
        ValueError: A unit, token set or role is unknown.
    """
    # Without operations a program says that nothing is steered; unset, that nothing changes.
    message = None if program is None else program_message(program) or steering_pb2.Program()
    return pb.Change(
        id=change_id,
        program=message,
        readouts=selection_message(readouts, default_tokens="generation"),
        stop_reading=stop_reading,
    )
