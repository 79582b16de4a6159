"""A caller of Converse: sends changes between the messages that it reads."""

import queue
from collections.abc import Iterator
from typing import Any, Self

import grpc

from vagus.v1 import generation_service_pb2 as pb
from vagus.v1 import generation_service_pb2_grpc as pb_grpc
from vagus.v1 import readout_pb2, steering_pb2


class Conversation:
    """A conversation from its start to its end; `response` is what came, as Generate's answer."""

    def __init__(
        self, channel: grpc.Channel, spec: pb.GenerationSpec, tenant: str = "", timeout: float = 300
    ) -> None:
        self._sent: queue.Queue[pb.ConverseRequest | None] = queue.Queue()
        self._sent.put(pb.ConverseRequest(start=spec))
        metadata = (("vagus-tenant", tenant),) if tenant else ()
        stub = pb_grpc.GenerationServiceStub(channel)
        self.call = stub.Converse(self._requests(), timeout=timeout, metadata=metadata)
        self.response = pb.GenerateResponse()
        self.changed: list[pb.Changed] = []
        self.layouts: list[readout_pb2.ReadoutLayout] = []

    def _requests(self) -> Iterator[pb.ConverseRequest]:
        yield from iter(self._sent.get, None)

    def send(self, **change: Any) -> None:
        """Sends a change."""
        self._sent.put(pb.ConverseRequest(change=pb.Change(**change)))

    def steer(self, *operations: steering_pb2.Operation, id: str = "") -> None:
        """Sends a change of the program."""
        self.send(id=id, program=steering_pb2.Program(operations=operations))

    def close(self) -> None:
        """Closes the caller's side."""
        self._sent.put(None)

    def read(self, tokens: int) -> Self:
        """Reads until so many tokens have come in all."""
        while len(self.response.tokens) < tokens:
            self._take(next(self.call))
        return self

    def finish(self) -> pb.GenerateResponse:
        """Reads to the end."""
        for message in self.call:
            self._take(message)
        self.close()
        return self.response

    def _take(self, message: pb.ConverseResponse) -> None:
        if message.HasField("changed"):
            self.changed.append(message.changed)
            return
        output, response = message.output, self.response
        assert not response.HasField("finish"), "a message after the last"
        response.text += output.text
        response.tokens.extend(output.tokens)
        response.prompt_readouts.extend(output.prompt_readouts)
        response.policy_events.extend(output.policy_events)
        if output.HasField("layout"):
            self.layouts.append(output.layout)
        if output.HasField("finish"):
            response.finish.CopyFrom(output.finish)
