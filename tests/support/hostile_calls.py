"""Calls with hostile messages over a real channel, and which statuses may answer them."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from support.good_messages import GOOD
from support.hostile_messages import altered, damaged, hostile_message, nested
from vagus.v1 import (
    concept_service_pb2,
    generation_service_pb2,
    model_service_pb2,
    policy_service_pb2,
    readout_service_pb2,
)

_FILES = (generation_service_pb2, readout_service_pb2, concept_service_pb2)
_FILES += (model_service_pb2, policy_service_pb2)
METHODS: list[MethodDescriptor] = [
    method
    for file in _FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
#: The server's own defects, or statuses that would make a client try again.
FAULTS = (
    StatusCode.INTERNAL,
    StatusCode.UNKNOWN,
    StatusCode.UNAVAILABLE,
    StatusCode.DATA_LOSS,
    StatusCode.ABORTED,
)
_SECONDS = 60.0


class Outcome(NamedTuple):
    """How a call ended; `reason` is its ErrorInfo's, if it has one."""

    kind: str
    code: StatusCode
    reason: str


@dataclass
class Outcomes:
    """Counts calls, and keeps what the server must not have answered."""

    counts: Counter[Outcome] = field(default_factory=Counter)
    faults: list[tuple[Outcome, str, str, bytes]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, outcome: Outcome, method: str, details: str, data: bytes) -> None:
        """Takes a call's end."""
        with self._lock:
            self.counts[outcome] += 1
        # gRPC alone answers without a reason: when a call has ended, or is none of ours.
        if outcome.code in FAULTS and len(self.faults) < 100:
            self.faults.append((outcome, method, details, data))

    def by_code(self) -> dict[str, dict[str, int]]:
        """Number of calls by kind and code."""
        table: dict[str, dict[str, int]] = {}
        for outcome, count in sorted(self.counts.items(), key=str):
            row = table.setdefault(outcome.kind, {})
            row[outcome.code.name] = row.get(outcome.code.name, 0) + count
        return table


def reason_of(error: Any) -> str:
    """The reason in a call's status; empty where gRPC itself answered."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            info = error_details_pb2.ErrorInfo()
            if status_pb2.Status.FromString(value).details[0].Unpack(info):
                return str(info.reason)
    return ""


class Caller:
    """Makes hostile calls through channels.

    Args:
        channels: to take turns with.
        random: what is sent.
        outcomes: where the ends of its calls go.
        with_structures: leaves the field in, which the server checks with vLLM.
    """

    def __init__(
        self,
        channels: Sequence[grpc.Channel],
        random: Random,
        outcomes: Outcomes,
        *,
        with_structures: bool = False,
    ) -> None:
        self._channels = channels
        self._random = random
        self._with_structures = with_structures
        self._outcomes = outcomes

    def call(self) -> None:
        """One call of any kind."""
        kinds: tuple[Callable[[], None], ...] = (self._fields, self._bytes, self._manner)
        [make] = self._random.choices(kinds, (60, 25, 15))
        make()

    def _fields(self) -> None:
        method = self._random.choice(METHODS)
        self._send("fields", method, [self.message(method) for _ in self._several(method)])

    def _bytes(self) -> None:
        method = self._random.choice(METHODS)
        messages = [damaged(self._random, self.message(method)) for _ in self._several(method)]
        if self._random.random() < 0.05:
            messages[0] = self._random.choice(list(nested(self._random.choice((50, 101, 5000)))))
        self._send("bytes", method, messages)

    def _manner(self) -> None:
        """Well-known ways to behave badly around a message."""
        random, method = self._random, self._random.choice(METHODS)
        data = [self.message(method) for _ in self._several(method)]
        behave = random.randrange(7)
        if behave == 0:
            self._send("unknown method", method, data, path=f"{_path(method)}x")
        elif behave == 1:
            metadata = random.choice(_METADATA)
            self._send("metadata", method, data, metadata=metadata)
        elif behave == 2:
            self._send("deadline", method, data, timeout=random.choice((0, 1e-6, 1e-3, 0.01)))
        elif behave == 3:
            self._send("cancelled", method, data, cancel_after=random.choice((0, 0.001, 0.02)))
        elif behave == 4:
            compression = random.choice((grpc.Compression.Gzip, grpc.Compression.Deflate))
            self._send("compressed", method, data, compression=compression)
        elif behave == 5:
            self._send("no message", method, [])
        else:
            # Rarer, since each is megabytes: more than a message may hold.
            large = bytes((17 << 20) if random.random() < 0.02 else 100_000)
            bomb = grpc.Compression.Gzip if random.random() < 0.5 else None
            self._send("large", method, [large], compression=bomb)

    def _several(self, method: MethodDescriptor) -> range:
        return range(self._random.randint(1, 4) if method.client_streaming else 1)

    def message(self, method: MethodDescriptor) -> bytes:
        """A message for the method, as bytes."""
        if self._random.random() < 0.3:
            message: Any = hostile_message(self._random, method.input_type)
        else:
            message = altered(self._random, self._random.choice(GOOD[method.name]))
        if not self._with_structures:
            for name in ("spec", "start"):
                if name in method.input_type.fields_by_name and message.HasField(name):
                    getattr(message, name).sampling.ClearField("structure")
        return bytes(message.SerializeToString())

    def _send(
        self,
        kind: str,
        method: MethodDescriptor,
        messages: list[bytes],
        *,
        path: str = "",
        cancel_after: float | None = None,
        timeout: float = _SECONDS,
        **options: Any,
    ) -> None:
        channel = self._random.choice(self._channels)
        options |= {"timeout": timeout}
        # Wire-compatible with every method; a call of one message goes out in one piece.
        if len(messages) == 1:
            call = channel.unary_stream(path or _path(method))(messages[0], **options)
        else:
            call = channel.stream_stream(path or _path(method))(iter(messages), **options)
        if cancel_after is not None:
            time.sleep(cancel_after)
            call.cancel()
        reason = ""
        try:
            for _ in call:
                pass
        except grpc.RpcError as error:
            reason = reason_of(error)
        outcome = Outcome(kind, call.code(), reason)
        self._outcomes.add(outcome, method.name, call.details() or "", b"".join(messages))


def make_calls(
    target: str, seed: int, count: int, *, threads: int = 16, with_structures: bool = False
) -> Outcomes:
    """Makes so many hostile calls, from several threads through a few connections."""
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    channels = [grpc.insecure_channel(target, options) for _ in range(4)]
    outcomes, left = Outcomes(), itertools.count(count, -1)

    def work(thread: int) -> None:
        random = Random(seed * 1000 + thread)
        caller = Caller(channels, random, outcomes, with_structures=with_structures)
        while next(left) > 0:
            caller.call()

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for channel in channels:
        channel.close()
    return outcomes


#: What metadata can hold that means something here, or to gRPC.
_METADATA: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
    (("vagus-tenant", "x" * 200),),
    (("vagus-tenant", " "),),
    (("vagus-tenant", "a"), ("vagus-tenant", "b")),
    (("authorization", "Bearer"),),
    (("authorization", "Bearer " + "k" * 2000),),
    (("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"),),
    (("traceparent", "x" * 1000), ("tracestate", "," * 1000)),
    (("x-bin", b"\0\xff" * 1000),),
    tuple((f"x{i}", "y") for i in range(100)),
    (("x", "y" * 7000),),
)


def _path(method: MethodDescriptor) -> str:
    return f"/{method.containing_service.full_name}/{method.name}"
