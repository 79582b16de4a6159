"""How a request, or a change of it, can fail in the engine."""

from vagus_server.steering.receipt import Mismatch


class EngineUnavailable(RuntimeError):
    """The engine has died or was shut down."""


class GivenUp(RuntimeError):
    """The engine could not run the request, and would not if it came again."""


class ReceiptMismatch(RuntimeError):
    """The device did not do what the request asked."""

    def __init__(self, mismatch: Mismatch) -> None:
        super().__init__(str(mismatch))
        self.mismatch = mismatch


class ChangeTooLate(RuntimeError):
    """The request has ended before the change could hold."""


class ProgramsFull(RuntimeError):
    """There is no room on the device for one more program."""
