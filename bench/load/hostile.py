"""Hostile requests in number: how they are answered, and what the server's memory does."""

import re
import sys
import time
from collections import Counter
from random import Random
from typing import Any

from support.fake_server_process import FakeServerProcess
from support.hostile_calls import Outcomes, make_calls
from support.hostile_frames import ATTACKS, answer, garbled

_PARTS = 20
#: Of a traceback, in the result.
_LINES = 40
#: What gRPC's core logs, from threads of its own and so in the middle of tracebacks, too.
_GRPC_CORE = re.compile(r"[IWEF]\d{4} \d\d:")


def run(calls: int, connections: int, structures: bool, seed: int) -> tuple[dict[str, Any], int]:
    """The result, and how many requests the server must not have answered as it did."""
    arguments = ["--with-vllm"] if structures else []
    total, samples, start = Outcomes(), [], time.monotonic()
    answers: Counter[str] = Counter()
    random = Random(seed)
    with FakeServerProcess(*arguments) as server:
        samples.append({"requests": 0, **server.held()})
        for part in range(1, _PARTS + 1):
            number = seed * _PARTS + part
            outcomes = make_calls(
                server.target, number, calls // _PARTS, with_structures=structures
            )
            total.counts.update(outcomes.counts)
            total.faults += outcomes.faults
            for _ in range(connections // _PARTS):
                answers[answer(server.target, garbled(random), seconds=0.02)] += 1
            if answer(server.target, ATTACKS["good"](), seconds=30) != "grpc 0":
                raise RuntimeError("a good call is not answered any more")
            done = part * (calls // _PARTS + connections // _PARTS)
            samples.append({"requests": done, **server.held()})
            print(samples[-1], total.by_code(), file=sys.stderr, flush=True)
        time.sleep(1)
        samples.append({"requests": done, **server.held()})
        tracebacks = _tracebacks(list(server.log))
    faults = [(str(o), method, details, data.hex()) for o, method, details, data in total.faults]
    reasons: Counter[str] = Counter()
    for outcome, count in total.counts.items():
        reasons[f"{outcome.code.name} {outcome.reason}".strip()] += count
    return {
        "calls": sum(total.counts.values()),
        "by_kind": total.by_code(),
        "by_reason": dict(reasons.most_common()),
        "garbled_connections": dict(answers.most_common()),
        "faults": faults[:20],
        "tracebacks": tracebacks[:20],
        "seconds": round(time.monotonic() - start),
        "samples": samples,
    }, len(faults) + len(tracebacks)


def _tracebacks(log: list[str]) -> list[str]:
    """Less those that gRPC prints by itself, of an answer to somebody who has hung up."""
    python = [line for line in log if not _GRPC_CORE.match(line)]
    starts = [
        i
        for i, (line, after) in enumerate(zip(python, [*python[1:], ""], strict=True))
        if "Traceback" in line and "grpcio/" not in after
    ]
    return ["".join(python[max(start - 1, 0) : start + _LINES]) for start in starts]
