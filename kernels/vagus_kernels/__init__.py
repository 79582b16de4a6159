"""Vagus kernels: steering programs and concept readouts on the residual stream.

`steer_read` runs a row's program on the stream and projects the stream on concepts, before
and after. `reference` is the same in plain torch: it is the tests' oracle (in float64) and
the CPU implementation. `op` registers both with torch as one opaque, graph-safe operator.
"""

from vagus_kernels.layout import (
    ABLATE,
    ADD,
    CLAMP,
    GATE_NONE,
    OPERATIONS_MASK,
    READ_FLAG,
    SET,
    SiteTables,
    applied_words,
)

__version__ = "0.1.0"

__all__ = [
    "ABLATE",
    "ADD",
    "CLAMP",
    "GATE_NONE",
    "OPERATIONS_MASK",
    "READ_FLAG",
    "SET",
    "SiteTables",
    "applied_words",
]
