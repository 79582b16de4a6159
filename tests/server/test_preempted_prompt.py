"""vLLM's scheduler with ours on top: what a request that was preempted in its prompt computes.

No model runs: whatever is scheduled is said to be done, and every token is the same.
"""

from pathlib import Path
from typing import Any

import pytest

from support.bare_scheduler import block_hasher, done, scheduler, starts_of
from vagus_kernels.layout import ADD
from vagus_server.plugin.wire import NO_END, Order, OrderOperation, encode_order
from vagus_server.plugin.wire import order_to_extra_args as extra_args

OTHER, TEXT = list(range(200, 229)), list(range(80))


def order(site: int) -> Order:
    operation = OrderOperation(ADD, 1, (site,), (1.0,), (0.0,), ((0, NO_END),))
    return Order((operation,), bytes([site]) * 32)


def run(scheduler: Any, orders: list[Order], changes: dict[int, Order]) -> list[tuple[int, int]]:
    """Start and tokens of each pass of the last request, which may be changed before a step."""
    from vllm import SamplingParams
    from vllm.v1.request import Request

    hasher = block_hasher()
    for name, prompt, asked in zip("abc", (OTHER, TEXT, TEXT), orders, strict=True):
        sampling = SamplingParams(max_tokens=12, ignore_eos=True, extra_args=extra_args(asked))
        scheduler.add_request(Request(name, prompt, sampling, None, block_hasher=hasher))
    passes, step = [], 0
    while scheduler.has_unfinished_requests():
        if step in changes:
            assert scheduler.vagus_change("c", 1, encode_order(changes[step])) == 0
        output, step = scheduler.schedule(), step + 1
        if tokens := output.num_scheduled_tokens.get("c"):
            passes.append((starts_of(output)["c"], tokens))
        scheduler.update_from_output(output, done(scheduler, output))
    return passes


@pytest.mark.parametrize("changed", [False, True])
def test_a_preempted_prompt_is_computed_anew(changed: bool, tmp_path: Path) -> None:
    """Else it went on behind a gap in its marks, with blocks that another request computed.

    Changed, those are of a program that it did not have when it computed them itself.
    """
    last = order(2) if changed else order(0)
    orders = [order(0), order(2) if changed else order(0), order(0)]
    # Few blocks, so that one is missing when the request before them needs its second.
    blocks = 7 if changed else 6
    passes = run(scheduler(tmp_path, blocks), orders, {8: last} if changed else {})
    starts = [start for start, _ in passes]
    again = next(i for i in range(1, len(starts)) if starts[i] != sum(passes[i - 1]))
    assert 0 < sum(passes[again - 1]) < len(TEXT), "it was not preempted in its prompt"
    assert starts[again] == 0
    assert starts[again + 1 :] == [sum(p) for p in passes[again:-1]], "each token once"
