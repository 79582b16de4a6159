"""Resolved operations in a few words."""

from typing import Any

import numpy as np

from vagus_kernels.layout import ADD
from vagus_server.concepts.vectors import Vectors
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.program import Operation

ALL: tuple[Range, ...] = ((0, NO_END),)


def vectors(content: str) -> Vectors:
    """Stands for vectors of some content; a programs' digests see no more of them."""
    return Vectors(content[0] * 64, (1.0,) * 30, np.zeros((30, 0)))


def operation(
    *sites: int,
    concept: str = "calm",
    scope: tuple[Range, ...] = ALL,
    length: float = 1.0,
    **fields: Any,
) -> Operation:
    """Adds a length at some sites; any field can be given."""
    n = len(sites)
    defaults = {
        "action": ADD,
        "vectors": vectors(concept),
        "a": (length,) * n,
        "b": (0.0,) * n,
        "doses": (0.1,) * n,
        "scope_text": repr(scope),
    }
    return Operation(concept=concept, sites=sites, scope=scope, **(defaults | fields))
