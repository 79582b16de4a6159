"""What a pipeline's stages tell each other: each marks and reads its own sites only.

vLLM returns the last stage's output alone. So every stage hands what it collected, and what it
got from the stage before it, to the next one among the hidden states that it sends anyway. What
gates found at its sites goes along: operations of later stages depend on it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

#: Readouts, marks and steps, as `Tables.collect` returns them.
Collected = tuple[Tensor, Tensor, Tensor]

_KEYS = ("vagus_readouts", "vagus_marks", "vagus_steps", "vagus_gates")


class Earlier(NamedTuple):
    """What a stage learns of those before it."""

    collected: Collected
    #: int32 [rows of the pass], as `row_gates` in vagus_kernels.layout.
    gates: Tensor


def send(tensors: dict[str, Tensor], collected: Collected, gates: Tensor) -> dict[str, Tensor]:
    """The hidden states for the next stage with what was found so far."""
    return {**tensors, **dict(zip(_KEYS, (*collected, gates), strict=True))}


def receive(intermediate: Any) -> Earlier | None:
    """Takes what the stage before has sent off its hidden states: vLLM knows no other keys."""
    if intermediate is None or _KEYS[0] not in intermediate.tensors:
        return None
    readouts, marks, steps, gates = (intermediate.tensors.pop(key) for key in _KEYS)
    return Earlier((readouts, marks, steps), gates)


def merge(own: Collected, earlier: Collected, read_here: Tensor) -> Collected:
    """All stages' together.

    Args:
        own, earlier: of this stage, and of those before it.
        read_here: bool [readout sites], those of this stage.
    """
    readouts = torch.where(read_here[:, None, None], own[0], earlier[0])
    # Marks and steps of sites that are not here stay 0.
    return readouts, own[1] + earlier[1], own[2] + earlier[2]
