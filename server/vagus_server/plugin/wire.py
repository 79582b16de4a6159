"""What the frontend, the scheduler and the workers say to each other.

An `Order` goes with a request to the worker (in SamplingParams.extra_args, as bytes). A `Step`
comes back: what one forward pass did to all requests that have an order, in a few arrays. The
scheduler passes it on to the frontend with the next outputs, in a `News`, with what else it has
to tell: from where on a request runs under another program, and what its policies found.

Scopes and readout selections travel as half-open ranges of absolute positions: the frontend
resolves phases, turns and the like, so that the worker needs to know nothing of them.
"""

from typing import Any

import msgspec
import numpy as np

from vagus_server.plugin.config import KEY

#: End of a range that never ends. Fits int32.
NO_END = 2**31 - 1

#: Half-open [start, end) of absolute token positions.
Range = tuple[int, int]


class OrderGate(msgspec.Struct, frozen=True, array_like=True):
    """Where an operation may act: lower <= <x, g> / |g| <= upper, at a site."""

    vector: int
    #: The site that is read, at its end; NO_SITE reads where the operation acts, at its turn.
    site: int
    lower: float
    upper: float


#: An OrderGate's site when it reads where the operation acts.
NO_SITE = -1


class OrderEnvelope(msgspec.Struct, frozen=True, array_like=True):
    """A factor on an operation's step over positions; see vagus_kernels.step."""

    origin: int
    ramp: float
    half_life: float


class OrderOperation(msgspec.Struct, frozen=True, array_like=True):
    """One operation as the device runs it; see vagus_kernels.layout for kind, a and b."""

    kind: int
    vector: int
    sites: tuple[int, ...]
    #: Per site.
    a: tuple[float, ...]
    #: Per site.
    b: tuple[float, ...]
    #: Disjoint, ascending.
    scope: tuple[Range, ...]
    gate: OrderGate | None = None
    envelope: OrderEnvelope | None = None


class OrderPolicy(msgspec.Struct, frozen=True, array_like=True):
    """A condition on a smoothed readout of generated tokens, and what steers while it holds.

    z = sign * (<x, w> / |w| - mean) / deviation, after steering, smoothed as s += share (z - s).
    The policy begins to act where s >= begin, and ceases where s < cease.
    """

    #: Index among the readout sites, and among the concepts read there.
    site: int
    concept: int
    mean: float
    deviation: float
    #: -1 for conditions that hold below a bound.
    sign: int
    begin: float
    cease: float
    #: Share of a new token in the mean.
    share: float
    #: Tokens that must have been seen before it can begin.
    after: int
    #: What is appended to the program while it acts; empty for policies that only tell.
    operations: tuple[OrderOperation, ...] = ()
    #: SHA-256 of what the device tables hold of them.
    digest: bytes = b""
    #: Whether the request ends when it begins.
    stops: bool = False


class Order(msgspec.Struct, frozen=True, array_like=True):
    """What one request asks of the device."""

    operations: tuple[OrderOperation, ...] = ()
    #: SHA-256 of what the device tables hold of the program; equal programs share a slot.
    digest: bytes = b""
    #: Positions whose readouts are wanted.
    read: tuple[Range, ...] = ()
    #: What is summed up, for extracting concepts: a group, and [start, end) of positions.
    tap: tuple[tuple[int, int, int], ...] = ()
    #: Watched by the scheduler.
    policies: tuple[OrderPolicy, ...] = ()


_order_decoder = msgspec.msgpack.Decoder(Order)


def order_to_extra_args(order: Order) -> dict[str, Any]:
    """The value for SamplingParams.extra_args."""
    return {KEY: encode_order(order)}


def encode_order(order: Order) -> bytes:
    """An order as bytes, for a change of a running request."""
    return msgspec.msgpack.encode(order)


def decode_order(data: bytes) -> Order:
    """Reads an order back."""
    return _order_decoder.decode(data)


def order_from_sampling_params(sampling_params: Any) -> Order | None:
    """Reads a request's order back; None for requests that bring none."""
    extra = getattr(sampling_params, "extra_args", None)
    return _order_decoder.decode(extra[KEY]) if extra and KEY in extra else None


class Step(msgspec.Struct, array_like=True):
    """What one forward pass did. n requests have an order; arrays are little-endian bytes.

    The rows of `positions` and `readouts`, and those of `marks`, are the requests' in order.
    """

    ids: list[str]
    #: int32 [n, 5]: first position, tokens, rows read, rows marked (all tokens or none), steps.
    spans: bytes
    #: int32 [rows read].
    positions: bytes = b""
    #: float32 [rows read, readout sites, concepts, 2]: before and after steering.
    readouts: bytes = b""
    #: int32 [rows marked, sites]: bit p is set where operation p acted.
    marks: bytes = b""
    #: float32, flat: for each marked row, the step of each operation at each site where it
    #: depends on the row (see `programs.measured_steps`).
    steps: bytes = b""

    def array(self, name: str, *shape: int) -> np.ndarray:
        """One of the arrays; one dimension may be -1."""
        dtype = "<f4" if name in ("readouts", "steps") else "<i4"
        return np.frombuffer(getattr(self, name), dtype=dtype).reshape(shape)


class Switch(msgspec.Struct, frozen=True, array_like=True):
    """From a position on, a request runs under another program."""

    id: str
    start: int
    #: Which of the request's own programs: 0 is the one it came with, n the n-th change's.
    base: int
    #: Indices of its policies that add to it, ascending.
    policies: tuple[int, ...]


class Sighting(msgspec.Struct, frozen=True, array_like=True):
    """A policy began or ceased to act."""

    id: str
    policy: int
    begins: bool
    #: The token whose readout decided it.
    position: int
    #: The smoothed z there.
    value: float
    #: Whether the request ends with this.
    stops: bool = False
    #: Whether there was no room for the program that this leads to.
    failed: bool = False


#: Instead of a position, where a change cannot be made: the request has ended, or there is no
#: room for one more program.
OVER, FULL = -1, -2


class News(msgspec.Struct, array_like=True):
    """What the frontend is told with a set of outputs."""

    steps: list[Step]
    switches: list[Switch] = []
    sightings: list[Sighting] = []

    def __bool__(self) -> bool:
        return bool(self.steps or self.switches or self.sightings)


_news_decoder = msgspec.msgpack.Decoder(News)


def news_to_array(news: News) -> np.ndarray:
    """Packs news into uint8 [n], the one free field of vLLM's EngineCoreOutput."""
    return np.frombuffer(msgspec.msgpack.encode(news), dtype=np.uint8)


def news_from_array(array: np.ndarray) -> News:
    """Unpacks news."""
    return _news_decoder.decode(array.tobytes())
