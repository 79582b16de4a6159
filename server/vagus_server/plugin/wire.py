"""What the frontend, the scheduler and the workers say to each other.

An `Order` goes with a request to the worker (in SamplingParams.extra_args, as bytes). A
`Frame` comes back with the request's output. In between, a `Step` carries one forward pass's
rows of all requests from the worker to the scheduler.

Scopes and readout selections travel as half-open ranges of absolute positions: the frontend
resolves phases, turns and the like, so that the worker needs to know nothing of them.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from vagus_server.plugin.config import KEY

#: End of a range that never ends. Fits int32.
NO_END = 2**31 - 1

#: Half-open [start, end) of absolute token positions.
Range = tuple[int, int]


class OrderOperation(msgspec.Struct, frozen=True, array_like=True):
    """One operation as the device runs it; see vagus_kernels.layout for kind, a and b."""

    kind: int
    vector: int
    sites: tuple[int, ...]
    #: Per site.
    a: tuple[float, ...]
    #: Per site.
    b: tuple[float, ...]
    scope: tuple[Range, ...]


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What one request asks of the device."""

    prompt_tokens: int
    operations: tuple[OrderOperation, ...] = ()
    #: SHA-256 of the canonical program; equal programs share a slot.
    digest: bytes = b""
    #: Positions whose readouts are returned.
    read: tuple[Range, ...] = ()
    #: Accumulate the turn's mean and the last prompt token's readout.
    monitor: bool = False
    #: Send the accumulated turn with every output, not with the last alone: the frontend ends
    #: a request at a stop string, and the engine then sends no last output.
    turn_every_output: bool = False

    @property
    def reply_start(self) -> int:
        """Position of the last prompt token: the first generated token is chosen there."""
        return self.prompt_tokens - 1


_order_decoder = msgspec.msgpack.Decoder(Order)


def order_to_extra_args(order: Order) -> dict[str, Any]:
    """The value for SamplingParams.extra_args."""
    return {KEY: msgspec.msgpack.encode(order)}


def order_from_sampling_params(sampling_params: Any) -> Order | None:
    """Reads a request's order back; None for requests that bring none."""
    extra = getattr(sampling_params, "extra_args", None)
    return _order_decoder.decode(extra[KEY]) if extra and KEY in extra else None


class Mark(msgspec.Struct, array_like=True):
    """Consecutive tokens on which the device did the same: the evidence for a receipt."""

    start: int
    tokens: int
    #: uint32 [operations, words] of the layout's applied table, little-endian. Empty when
    #: nothing was applied.
    applied: bytes


@dataclass(slots=True)
class RequestRows:
    """One request's part of a Step."""

    start: int
    tokens: int
    #: Positions read, ascending.
    positions: list[int]
    #: float32 [len(positions), readout sites, concepts, 2].
    readouts: np.ndarray
    marks: list[Mark]


@dataclass(slots=True)
class Step:
    """Rows of one forward pass, by request id."""

    rows: dict[str, RequestRows] = field(default_factory=dict)


class Frame(msgspec.Struct, array_like=True):
    """What comes back with an output of one request, gathered over the steps since the last."""

    #: (start, tokens) of each forward pass, in order.
    spans: list[Range] = []
    marks: list[Mark] = []
    #: Positions whose readouts were asked for.
    positions: list[int] = []
    #: float32 little-endian [len(positions), readout sites, concepts, 2].
    readouts: bytes = b""
    #: With the request's last output (see Order): float32 [readout sites, concepts, 2].
    turn_sum: bytes = b""
    turn_tokens: int = 0
    #: With the request's last output (see Order): float32 [readout sites, concepts, 2].
    last_prompt_token: bytes = b""


_frame_decoder = msgspec.msgpack.Decoder(Frame)


def frame_to_array(frame: Frame) -> np.ndarray:
    """Packs a frame into uint8 [n], the one free field of vLLM's EngineCoreOutput."""
    return np.frombuffer(msgspec.msgpack.encode(frame), dtype=np.uint8)


def frame_from_array(array: np.ndarray) -> Frame:
    """Unpacks a frame."""
    return _frame_decoder.decode(array.tobytes())
