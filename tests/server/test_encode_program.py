"""What the device's program tables hold of an order."""

import numpy as np
import pytest

from vagus_kernels.layout import ADD, GATE_NONE, GATE_STORED, SET, TEST
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.programs import Program, encode_program
from vagus_server.plugin.wire import NO_SITE, Order, OrderEnvelope, OrderGate, OrderOperation

CONFIG = PluginConfig(
    sites=4, hidden_size=8, readout_sites=(2,), concepts=3, operations=3, vectors=9
)
INVERSE = np.arange(36, dtype=np.float32).reshape(4, 9) + 1


def encoded(*operations: OrderOperation) -> Program:
    return encode_program(Order(operations), CONFIG, INVERSE)


def entry(program: Program, i: int) -> tuple[list[int], list[float]]:
    """Site, index and ints of an entry, and its floats but the unused two."""
    row = program.entries[i]
    return row[:6].tolist(), row[6:12].copy().view(np.float32).tolist()


def test_one_entry_for_each_site() -> None:
    program = encoded(
        OrderOperation(ADD, 5, (1, 3), (0.5, -2.0), (0.0, 0.0), ()),
        OrderOperation(SET, 7, (3,), (1.5,), (0.25,), ()),
    )
    assert program.counts.tolist() == [0, 1, 0, 2]
    assert program.vectors.tolist() == [5, 7, 0]
    assert entry(program, 0) == ([1, 0, ADD, 0, 5, GATE_NONE], [0.5, 0, INVERSE[1, 5], 0, 0, 0])
    assert entry(program, 1) == ([3, 0, ADD, 0, 5, GATE_NONE], [-2, 0, INVERSE[3, 5], 0, 0, 0])
    assert entry(program, 2) == ([3, 1, SET, 1, 7, GATE_NONE], [1.5, 0.25, INVERSE[3, 7], 0, 0, 0])
    assert program.measured.tolist() == [[3, 1]]


def test_a_gate_where_the_operation_acts() -> None:
    gate = OrderGate(4, NO_SITE, -1.0, 2.0)
    program = encoded(OrderOperation(ADD, 5, (1,), (0.5,), (0.0,), (), gate))
    floats = [0.5, 0, INVERSE[1, 5], -1, 2, INVERSE[1, 4]]
    assert entry(program, 0) == ([1, 0, ADD, 0, 5, 4], floats)


def test_a_gate_at_an_earlier_site_is_tested_there_first() -> None:
    plain = OrderOperation(ADD, 5, (0,), (0.5,), (0.0,), ())
    gated = OrderOperation(ADD, 6, (0, 2), (0.5, 0.5), (0.0, 0.0), (), OrderGate(4, 0, -1.0, 2.0))
    program = encoded(plain, gated)
    assert program.counts.tolist() == [3, 0, 1, 0]
    assert entry(program, 0) == ([0, 0, TEST, 1, 0, 4], [0, 0, 0, -1, 2, INVERSE[0, 4]])
    assert [entry(program, i)[0] for i in (1, 2, 3)] == [
        [0, 1, ADD, 0, 5, GATE_NONE],
        [0, 2, ADD, 1, 6, GATE_STORED],
        [2, 0, ADD, 1, 6, GATE_STORED],
    ]


def test_envelopes_make_steps_worth_measuring() -> None:
    fading = OrderOperation(
        ADD, 5, (1, 2), (0.5, 0.5), (0.0, 0.0), (), None, OrderEnvelope(0, 1.0, 0.0)
    )
    assert encoded(fading).measured.tolist() == [[1, 0], [2, 0]]


def test_nothing() -> None:
    program = encoded()
    assert program.counts.sum() == 0
    assert program.entries.shape == (0, 14)
    assert program.measured.shape == (0, 2)


def test_the_most_that_a_site_can_hold() -> None:
    """Every operation acts there and is tested there."""
    gated = OrderOperation(ADD, 5, (1,), (0.5,), (0.0,), (), OrderGate(4, 1, 0.0, 1.0))
    assert encoded(*[gated] * 3).counts.tolist() == [0, 6, 0, 0]
    with pytest.raises(IndexError):
        encoded(*[gated] * 4)
