"""An open-loop load: requests arrive at random times of a given rate, however the server does.

A closed loop waits for the server and so asks less of it just when it is slow, which hides the
worst waits; an open one does not.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from vagus import AsyncClient, Operation, Readouts, add, verify_receipt
from vagus import VagusError as CallError

_WORDS = (
    "the",
    "rain",
    "had",
    "not",
    "stopped",
    "and",
    "they",
    "were",
    "late",
    "so",
    "we",
    "waited",
)
#: Spread of the lengths: a third of them is above 1.5 times the median.
_SIGMA = 0.8
_LONGEST = 6.0


@dataclass(frozen=True)
class Mix:
    """What the requests are like.

    Args:
        prompt_tokens, max_tokens: medians of the two lengths, log-normal, to 6 times these.
        steered, read: shares with a program, and with readouts of each token.
        slow: share whose reader pauses between messages, for `pause` seconds.
        cancelled: share that is cancelled after a part of its tokens.
        concepts: to steer by (one each) and to read (all).
        dose: of a program.
    """

    prompt_tokens: int
    max_tokens: int
    steered: float
    read: float
    slow: float
    pause: float
    cancelled: float
    concepts: tuple[str, ...]
    dose: float


@dataclass
class _Seen:
    first: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    tokens: int = 0
    ends: Counter[str] = field(default_factory=Counter)


def run(target: str, rate: float, seconds: float, mix: Mix, seed: int) -> dict[str, Any]:
    """Quantiles of latencies, tokens per second, and how requests ended."""
    return asyncio.run(_run(target, rate, seconds, mix, seed))


async def _run(target: str, rate: float, seconds: float, mix: Mix, seed: int) -> dict[str, Any]:
    random, seen = Random(seed), _Seen()
    # No retries: each request counts for what it met.
    async with AsyncClient(target, max_retries=0) as client:
        start = time.perf_counter()
        at, tasks = random.expovariate(rate), list[asyncio.Task[None]]()
        late: list[float] = []
        while at < seconds:
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            late.append(time.perf_counter() - start - at)
            chance = Random(random.random())
            tasks.append(asyncio.create_task(_request(client, mix, chance, seen)))
            at += random.expovariate(rate)
        await asyncio.gather(*tasks)
        took = time.perf_counter() - start
    return {
        "requests": len(tasks),
        "rate": rate,
        "seconds": round(took, 1),
        "time_to_first_token_ms": _quantiles(seen.first),
        "between_tokens_ms": _quantiles(seen.gaps),
        "tokens_per_second": round(seen.tokens / took, 1),
        "ends": dict(seen.ends.most_common()),
        # Above some milliseconds, the generator itself was too slow for its rate.
        "late_ms": _quantiles(late),
    }


def _quantiles(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    p50, p99 = np.percentile(np.array(seconds) * 1e3, [50, 99]).tolist()
    return {"p50": round(p50, 1), "p99": round(p99, 1)}


def _length(median: int, random: Random) -> int:
    factor = min(random.lognormvariate(0, _SIGMA), _LONGEST)
    return max(1, round(median * factor))


async def _request(client: AsyncClient, mix: Mix, random: Random, seen: _Seen) -> None:
    prompt = " ".join(random.choices(_WORDS, k=_length(mix.prompt_tokens, random)))
    limit = _length(mix.max_tokens, random)
    program: list[Operation] = []
    if random.random() < mix.steered:
        program.append(add(random.choice(mix.concepts), mix.dose))
    reads = random.random() < mix.read
    pause = mix.pause if random.random() < mix.slow else 0.0
    stop_after = random.randint(1, limit) if random.random() < mix.cancelled else None
    start = last = time.perf_counter()
    count = 0
    call = client.stream(
        prompt,
        program=program or None,
        readouts=Readouts(mix.concepts, generation=True) if reads else None,
        max_tokens=limit,
        ignore_eos=True,
    )
    try:
        async with call as stream:
            async for event in stream:
                now, arrived = time.perf_counter(), len(event.tokens)
                # A slow reader's gaps are its own.
                if arrived and count == 0:
                    seen.first.append(now - start)
                elif arrived and not pause:
                    seen.gaps += [(now - last) / arrived] * arrived
                count, last = count + arrived, now
                seen.tokens += arrived
                if stop_after is not None and count >= stop_after:
                    seen.ends["cancelled here"] += 1
                    return
                await asyncio.sleep(pause)
        verify_receipt(program, stream.result)
        seen.ends["OK"] += 1
    except CallError as error:
        seen.ends[error.reason or error.code.name] += 1
