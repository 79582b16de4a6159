"""What a step costs the worker's host thread: `python bench/serve/host_step.py`.

Times the part that runs once per forward pass before the model does: looking up the batch,
laying out its rows, packing the message. No model and no device are involved; on a GPU this
work hides behind the pass before, as long as it is shorter.
"""

import statistics
import sys
import time

import numpy as np

from vagus_kernels.layout import ADD
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_END, Order, OrderOperation

CONFIG = PluginConfig(sites=32, hidden_size=4096, readout_sites=(21,), concepts=171)
STEPS = 300
KINDS = ("idle", "read", "steered, shared", "steered, distinct, read")


def order(kind: str, index: int) -> Order | None:
    """What one request asks for."""
    if kind == "idle":
        return None
    read = ((0, NO_END),) if "read" in kind else ()
    if "steered" not in kind:
        return Order(read=read)
    program = index if "distinct" in kind else 0
    operations = tuple(
        OrderOperation(ADD, 1 + p, (16,), (1.0 + program,), (0.0,), ((0, NO_END),))
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


def main() -> None:
    """Prints a table."""
    sizes = (1, 8, 64, 256)
    sys.stdout.write(f"{'microseconds a step':26}" + "".join(f"{n:>8}" for n in sizes) + "\n")
    for kind in KINDS:
        cells = "".join(f"{microseconds(kind, n):8.0f}" for n in sizes)
        sys.stdout.write(f"{kind:26}{cells}\n")


if __name__ == "__main__":
    main()
