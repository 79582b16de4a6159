"""Turns a request's operations into what the device's program tables hold."""

from dataclasses import dataclass

import numpy as np

from vagus_kernels.layout import ADD, GATE_NONE, GATE_STORED, TEST, entries
from vagus_kernels.step import ENTRY
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_SITE, Order


@dataclass(frozen=True)
class Program:
    """One program, encoded; see vagus_kernels.step for the arrays."""

    #: int32 [sites].
    counts: np.ndarray
    #: int32 [operations of the table].
    vectors: np.ndarray
    #: int32 [n, 14].
    entries: np.ndarray
    #: int64 [J, 2]: (site, operation) pairs whose step depends on the row.
    measured: np.ndarray


def measured_steps(kind: int, has_envelope: bool) -> bool:
    """Whether the device must say how far an operation moved a row: it depends on the row."""
    return kind != ADD or has_envelope


def encode_program(order: Order, config: PluginConfig, inverse_norms: np.ndarray) -> Program:
    """Encodes an order's operations.

    Tests of gates come first at their site: a stored gate has seen the stream before any of
    the program's operations there.

    Args:
        order: what is encoded.
        config: sizes of the tables.
        inverse_norms: float32 [sites, vectors], 1 / |v| of the vector bank.
    """
    rows: list[list[int]] = []
    counts = np.zeros(config.sites, dtype=np.int32)
    vectors = np.zeros(config.operations, dtype=np.int32)

    def put(site: int, ints: tuple[int, ...], floats: tuple[float, ...]) -> None:
        bits = np.array(floats, dtype=np.float32).view(np.int32).tolist()
        rows.append([site, int(counts[site]), *ints, *bits])
        counts[site] += 1

    for p, operation in enumerate(order.operations):
        vectors[p] = operation.vector
        gate = operation.gate
        if gate is not None and gate.site != NO_SITE:
            inverse = float(inverse_norms[gate.site, gate.vector])
            floats = (0.0, 0.0, 0.0, gate.lower, gate.upper, inverse, 0.0, 0.0)
            put(gate.site, (TEST, p, 0, gate.vector), floats)
    for p, operation in enumerate(order.operations):
        gate = operation.gate
        for site, a, b in zip(operation.sites, operation.a, operation.b, strict=True):
            inverse = float(inverse_norms[site, operation.vector])
            if gate is None:
                code, lower, upper, gate_inverse = GATE_NONE, 0.0, 0.0, 0.0
            elif gate.site != NO_SITE:
                code, lower, upper, gate_inverse = GATE_STORED, 0.0, 0.0, 0.0
            else:
                code, lower, upper = gate.vector, gate.lower, gate.upper
                gate_inverse = float(inverse_norms[site, gate.vector])
            floats = (a, b, inverse, lower, upper, gate_inverse, 0.0, 0.0)
            put(site, (operation.kind, p, operation.vector, code), floats)
    assert counts.max(initial=0) <= entries(config.operations)
    pairs = [
        (site, p)
        for p, operation in enumerate(order.operations)
        if measured_steps(operation.kind, operation.envelope is not None)
        for site in operation.sites
    ]
    return Program(
        counts=counts,
        vectors=vectors,
        entries=np.array(rows, dtype=np.int32).reshape(-1, ENTRY),
        measured=np.array(pairs, dtype=np.int64).reshape(-1, 2),
    )
