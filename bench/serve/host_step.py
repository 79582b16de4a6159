"""What steering costs the host's threads: `python bench/serve/host_step.py`.

Three tables, without a model or a device:
- a step in the worker, before the model runs: looking up the batch, laying out its rows, packing
  the message. On a GPU this hides behind the pass before, as long as it is shorter.
- a step in the scheduler: what policies make of the readouts of one token of each request.
- a change of a running request, in the worker and in the scheduler, by the tokens whose blocks
  get other keys.
"""

import statistics
import sys
import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from vagus_kernels.layout import ADD, CLAMP
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.course import Course
from vagus_server.plugin.room import Room
from vagus_server.plugin.roster import Roster
from vagus_server.plugin.watch import Watches
from vagus_server.plugin.wire import (
    NO_END,
    News,
    Order,
    OrderEnvelope,
    OrderOperation,
    OrderPolicy,
    Step,
)

CONFIG = PluginConfig(sites=32, hidden_size=4096, readout_sites=(21,), concepts=171)
STEPS = 300
#: Tokens of a block of the prefix cache, as on a GPU.
BLOCK = 16
KINDS = (
    "idle",
    "read",
    "steered, shared",
    "steered, distinct, read",
    "steered, ramp",
    "steered, half-life",
    "steered, clamp",
    "steered, bounded scope",
)


def order(kind: str, index: int) -> Order | None:
    """What one request asks for."""
    if kind == "idle":
        return None
    read = ((0, NO_END),) if "read" in kind else ()
    if "steered" not in kind:
        return Order(read=read)
    program = index if "distinct" in kind else 0
    code = CLAMP if "clamp" in kind else ADD
    scope = ((0, 50), (60, 90_000)) if "bounded" in kind else ((0, NO_END),)
    envelope = None
    if "ramp" in kind or "half-life" in kind:
        ramp, half_life = (1e4, 0.0) if "ramp" in kind else (0.0, 1e4)
        envelope = OrderEnvelope(20, ramp, half_life)
    operations = tuple(
        OrderOperation(code, 1 + p, (16,), (1.0 + program,), (2.0,), scope, None, envelope)
        for p in range(3)
    )
    return Order(operations, digest=program.to_bytes(4, "big"), read=read)


def microseconds(kind: str, requests: int) -> float:
    """Median time of a decode step."""
    inverse = np.ones((CONFIG.sites, CONFIG.vectors), dtype=np.float32)
    batch = Batch(CONFIG, inverse, 8192)
    ids = [f"request-{i}" for i in range(requests)]
    for i, name in enumerate(ids):
        asked = order(kind, i)
        if asked is not None:
            batch.roster.add(name, asked)
    tokens = np.ones(requests, dtype=np.int32)
    times = []
    for step in range(STEPS):
        starts = np.full(requests, 100 + step, dtype=np.int32)
        began = time.perf_counter()
        batch.begin(ids, tokens, starts)
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) * 1e6


def policy(index: int) -> OrderPolicy:
    """One that begins and ceases now and then on readouts drawn from a normal distribution."""
    return OrderPolicy(
        site=0,
        concept=index,
        mean=0.0,
        deviation=1.0,
        sign=1,
        begin=0.9,
        cease=0.0,
        share=2 / 17,
        after=8,
    )


def watch_microseconds(policies: int, requests: int) -> float:
    """Median time in which the scheduler looks at one token of each request."""
    shape = (1, CONFIG.concepts, 2)
    watches = Watches(shape)
    ids = [f"request-{i}" for i in range(requests)]
    for name in ids:
        watches.add(name, tuple(policy(k) for k in range(policies)), 100)
    draw = np.random.default_rng(0)
    times = []
    for position in range(100, 100 + STEPS):
        spans = np.tile(np.array([position, 1, 1, 0, 0], dtype="<i4"), (requests, 1))
        step = Step(
            ids,
            spans.tobytes(),
            np.full(requests, position, dtype="<i4").tobytes(),
            draw.standard_normal((requests, *shape), dtype=np.float32).tobytes(),
        )
        ends = dict.fromkeys(ids, NO_END)
        began = time.perf_counter()
        watches.see(watches.rows(step), ends)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def roster_microseconds() -> float:
    """Median time in which the worker takes a change, of 3 operations."""
    roster = Roster(CONFIG.slots)
    times = []
    for i in range(STEPS):
        name = f"request-{i}"
        roster.add(name, Order(read=((0, NO_END),)))
        changed = order("steered, distinct, read", i)
        assert changed is not None
        began = time.perf_counter()
        roster.change(name, 100, changed)
        times.append(time.perf_counter() - began)
        roster.finish(name)
    return statistics.median(times) * 1e6


def change_microseconds(tokens: int) -> float:
    """Median time in which the scheduler makes a change that holds for so many tokens.

    These are tokens of the prompt, which vLLM has put into keys already. The last few are less
    than a block, as with any request that generates.
    """
    from vllm import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core import kv_cache_utils
    from vllm.v1.request import Request

    from vagus_server.plugin import blocks
    from vagus_server.plugin.scheduler import SteeringScheduler

    blocks.install()
    kv_cache_utils.init_none_hash(sha256)
    hasher = kv_cache_utils.get_request_block_hasher(BLOCK, sha256)
    start = 1024
    prompt = list(range(start + tokens))
    orders = [order("steered, distinct, read", i) for i in range(STEPS)]
    scheduler: Any = SimpleNamespace(
        hash_block_size=BLOCK,
        _vagus_changes={},
        _vagus_news=News([], [], []),
        _vagus_room=Room(STEPS),
        _vagus_in_flight=2,
    )
    times = []
    for number, changed in enumerate(orders, 1):
        request = Request("request", prompt, SamplingParams(), None, block_hasher=hasher)
        request.num_computed_tokens = start
        course = Course(Order(read=((0, NO_END),)))
        setattr(request, blocks.COURSE, course)
        assert changed is not None

        def turn(turned: Course, at: int, number: int = number, to: Order = changed) -> Order:
            return turned.rebase(number, to, at)

        began = time.perf_counter()
        SteeringScheduler._turn(scheduler, request, course, turn)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e6


def table(title: str, sizes: Sequence[int], lines: dict[str, Sequence[float]]) -> None:
    """Prints one."""
    sys.stdout.write(f"{title:34}" + "".join(f"{n:>8}" for n in sizes) + "\n")
    for name, times in lines.items():
        sys.stdout.write(f"{name:34}" + "".join(f"{t:8.0f}" for t in times) + "\n")
    sys.stdout.write("\n")


def main() -> None:
    """Prints the tables."""
    sizes, policies, tokens = (1, 8, 64, 256), (1, 4, 16), (8, 1024, 8192)
    sys.stdout.write("microseconds, medians\n\n")
    lines: dict[str, Sequence[float]]
    lines = {kind: [microseconds(kind, n) for n in sizes] for kind in KINDS}
    table("a step in the worker, by requests", sizes, lines)
    lines = {f"{k} policies": [watch_microseconds(k, n) for n in sizes] for k in policies}
    table("policies in a step, by requests", sizes, lines)
    lines = {
        "in the worker": [roster_microseconds()] * len(tokens),
        "in the scheduler": [change_microseconds(n) for n in tokens],
    }
    table("a change, by tokens it holds for", tokens, lines)


if __name__ == "__main__":
    main()
