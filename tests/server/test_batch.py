"""The rows of a pass: whose they are, and what happens to them."""

import numpy as np
import pytest

from vagus_kernels.layout import READ_FLAG
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_END, Order, OrderOperation

SITES = 4


def steered(digest: bytes, *sites: int, prompt_tokens: int = 3) -> Order:
    """Steers all tokens at the sites; reads from the last prompt token on."""
    n = len(sites)
    operation = OrderOperation(1, 1, sites, (1.0,) * n, (0.0,) * n, ((0, NO_END),))
    return Order(prompt_tokens, (operation,), digest, monitor=True)


@pytest.fixture
def batch() -> Batch:
    return Batch(PluginConfig(sites=SITES, hidden_size=8, readout_sites=(2,), concepts=3, slots=5))


def test_rows_of_several_requests_in_one_pass(batch: Batch) -> None:
    batch.add("a", steered(b"x", 1))
    batch.add("b", steered(b"y", 3))
    batch.add("c", Order(2, read=((0, 2),)))
    fresh = batch.begin(["b", "unknown", "a", "c"], [1, 2, 3, 2], [7, 0, 0, 0])

    assert [order.digest for _, order in fresh] == [b"y", b"x"]
    (slot_b, _), (slot_a, _) = fresh
    assert {slot_a, slot_b} == {1, 2}
    slots, flags, sites = batch.row_maps()
    assert slots.tolist() == [slot_b, 0, 0, slot_a, slot_a, slot_a, 0, 0]
    read = READ_FLAG
    assert flags.tolist() == [1 | read, 0, 0, 1, 1, 1 | read, read, read]
    assert {slots.dtype, flags.dtype, sites.dtype} == {np.dtype(np.int32)}
    assert sites[:, 0].tolist() == [0, 1, 0, 1], "sites where any program acts"
    assert sites[:, 1].tolist() == [1] * SITES
    assert [(r.request_id, r.row, r.start, r.tokens, r.steered) for r in batch.layout()] == [
        ("b", 0, 7, 1, True),
        ("a", 3, 0, 3, True),
        ("c", 6, 0, 2, False),
    ]
    assert batch.layout()[1].flags.tolist() == [1, 1, 1 | read]


def test_a_program_is_written_once_while_it_runs(batch: Batch) -> None:
    batch.add("a", steered(b"x", 1))
    batch.add("b", steered(b"x", 1))
    assert len(batch.begin(["a"], [3], [0])) == 1
    assert batch.begin(["a", "b"], [1, 3], [3, 0]) == []
    batch.finish("a")
    assert batch.begin(["b"], [1], [3]) == []
    batch.finish("b")
    assert (batch.known, batch.slots.used) == (0, 0)
    batch.add("c", steered(b"x", 1))
    assert len(batch.begin(["c"], [3], [0])) == 1, "the slot may have been another's meanwhile"


def test_a_preempted_request_comes_back_with_its_order(batch: Batch) -> None:
    batch.add("a", steered(b"x", 1))
    batch.begin(["a"], [3], [0])
    batch.pause("a")
    assert (batch.known, batch.slots.used) == (1, 0)
    batch.add("b", steered(b"y", 2))
    ((slot_b, _),) = batch.begin(["b"], [3], [0])
    ((slot_a, order),) = batch.begin(["b", "a"], [1, 3], [3, 0])
    assert (slot_a != slot_b, order.digest) == (True, b"x")


def test_idle_passes(batch: Batch) -> None:
    assert batch.idle
    batch.begin(["unknown"], [4], [0])
    assert batch.idle
    assert [m.tolist() for m in batch.row_maps()] == [[0] * 4, [0] * 4, [[0, 0]] * SITES]
    batch.add("a", steered(b"x", 1))
    batch.begin(["a"], [3], [0])
    assert not batch.idle
    batch.clear_rows()
    assert batch.idle
    assert batch.layout() == []


def test_finishing_or_pausing_the_unknown_is_ignored(batch: Batch) -> None:
    batch.finish("unknown")
    batch.pause("unknown")
    assert (batch.known, batch.slots.used) == (0, 0)
