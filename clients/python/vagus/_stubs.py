"""The generated stubs over one channel, synchronous or not."""

from collections.abc import Callable
from typing import Any, TypeAlias

import grpc
from grpc_health.v1.health_pb2_grpc import HealthStub

from vagus.v1.concept_service_pb2_grpc import ConceptServiceStub
from vagus.v1.generation_service_pb2_grpc import GenerationServiceStub
from vagus.v1.model_service_pb2_grpc import ModelServiceStub
from vagus.v1.policy_service_pb2_grpc import PolicyServiceStub
from vagus.v1.readout_service_pb2_grpc import ReadoutServiceStub

AnyChannel: TypeAlias = grpc.Channel | grpc.aio.Channel


class Stubs:
    """One stub per service."""

    def __init__(self, channel: AnyChannel) -> None:
        self.concept = _stub(ConceptServiceStub, channel)
        self.generation = _stub(GenerationServiceStub, channel)
        self.model = _stub(ModelServiceStub, channel)
        self.policy = _stub(PolicyServiceStub, channel)
        self.readout = _stub(ReadoutServiceStub, channel)
        self.health = _stub(HealthStub, channel)


def _stub(make: Callable[[Any], Any], channel: AnyChannel) -> Any:
    # grpcio-tools generates untyped stubs that serve both kinds of channel.
    return make(channel)
