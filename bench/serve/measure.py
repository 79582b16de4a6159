"""Runs the requests of a round side by side and takes the times."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from bench.serve.modes import BenchmarkError

#: Starts one request and yields the ids of the tokens that arrive together.
Request = Callable[[], AsyncIterator[Sequence[int]]]


@dataclass
class Round:
    """What one round took.

    Args:
        seconds: from the first request's start to the last one's end.
        tokens: ids that each request generated.
        first: seconds from each request's start to its first token.
        gaps: seconds between tokens; tokens that arrive together share the gap before them.
        bytes: that the machine's loopback carried meanwhile, TCP's and IP's headers included.
    """

    seconds: float = 0.0
    tokens: list[list[int]] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    bytes: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens of all requests, by the round's whole time."""
        return sum(map(len, self.tokens)) / self.seconds

    def same_as(self, other: "Round") -> int:
        """Number of requests whose tokens are the other round's."""
        return sum(a == b for a, b in zip(self.tokens, other.tokens, strict=True))


async def run_round(requests: Sequence[Request], tokens: int) -> Round:
    """Runs all requests at once.

    Raises:
        BenchmarkError: a request did not generate exactly so many tokens.
    """
    gc.collect()
    result = Round()
    carried = _loopback_bytes()
    start = time.perf_counter()
    result.tokens = await asyncio.gather(*(_follow(request, result) for request in requests))
    result.seconds = time.perf_counter() - start
    result.bytes = _loopback_bytes() - carried
    for ids in result.tokens:
        if len(ids) != tokens:
            raise BenchmarkError(f"a request generated {len(ids)} tokens, not {tokens}")
    return result


def _loopback_bytes() -> int:
    return int(psutil.net_io_counters(pernic=True)["lo"].bytes_recv)


async def _follow(request: Request, result: Round) -> list[int]:
    ids: list[int] = []
    last = time.perf_counter()
    async for arrived in request():
        if not arrived:
            continue
        now = time.perf_counter()
        if ids:
            result.gaps += [(now - last) / len(arrived)] * len(arrived)
        else:
            result.first.append(now - last)
        last = now
        ids += arrived
    return ids
