"""When a failed call is tried again, and how long to wait before."""

import random
import time
from collections.abc import Callable

from vagus import _errors
from vagus._constants import RETRY_BASE_DELAY_S, RETRY_MAX_DELAY_S
from vagus._status import RpcStatus, error_from_status


class Attempts:
    """The attempts of one call: how many are left, and how much time.

    Args:
        timeout: Seconds for all attempts and the waits between them.
        max_retries: Attempts after the first.
        clock: Seconds that never go back.
        jitter: Draws uniformly between two numbers.
    """

    def __init__(
        self,
        timeout: float,
        max_retries: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + timeout
        self._max_retries = max_retries
        self._retries = 0

    def remaining(self) -> float:
        """Seconds left until the deadline, at least 0."""
        return max(0.0, self._deadline - self._clock())

    def delay_after(self, failure: RpcStatus, *, messages: int = 0) -> float:
        """Seconds to wait before the next attempt.

        Args:
            failure: How the last attempt ended.
            messages: Messages that it had received.

        Raises:
            VagusError: What failed, when no further attempt is due.
        """
        error = error_from_status(failure)
        # Initial metadata says that the engine has admitted the request: trying again would
        # run it twice.
        admitted = messages > 0 or bool(tuple(failure.initial_metadata() or ()))
        delay = self._backoff(error)
        if (
            admitted
            or not _is_transient(error)
            or self._retries >= self._max_retries
            or delay >= self.remaining()
        ):
            raise error from (failure if isinstance(failure, BaseException) else None)
        self._retries += 1
        return delay

    def _backoff(self, error: _errors.VagusError) -> float:
        longest = min(RETRY_MAX_DELAY_S, RETRY_BASE_DELAY_S * 2**self._retries)
        return (error.retry_delay or 0.0) + self._jitter(0.0, longest)


def _is_transient(error: _errors.VagusError) -> bool:
    if isinstance(error, _errors.ResourceExhausted):
        # Without RetryInfo it may last for ever: a message too large, a quota used up.
        return error.retry_delay is not None
    return isinstance(error, _errors.Unavailable)
