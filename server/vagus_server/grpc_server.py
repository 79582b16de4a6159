"""The gRPC server: services, health, reflection, and what connections may do."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from vagus.v1 import (
    concept_service_pb2_grpc,
    generation_service_pb2_grpc,
    model_service_pb2_grpc,
    policy_service_pb2_grpc,
    readout_service_pb2_grpc,
)
from vagus_server.access.access import Access
from vagus_server.access.audit import Audit
from vagus_server.api import SERVICES
from vagus_server.health import Health
from vagus_server.services.answer import MAX_MESSAGE_BYTES
from vagus_server.services.calls import Calls
from vagus_server.services.concept import ConceptService
from vagus_server.services.generation import GenerationService
from vagus_server.services.interceptor import CallInterceptor
from vagus_server.services.model import ModelService
from vagus_server.services.policy import PolicyService
from vagus_server.services.readout import ReadoutService
from vagus_server.services.served import Served

SERVICE_NAMES = tuple(service.full_name for service in SERVICES)
#: Calls at once on one connection; further ones wait at the client.
_MAX_STREAMS = 4096


def build_server(
    served: Served,
    calls: Calls,
    health: Health,
    keepalive_seconds: float,
    access: Access | None = None,
    audit: Audit | None = None,
) -> grpc.aio.Server:
    """The gRPC server with all services, health and reflection."""
    keepalive_ms = int(keepalive_seconds * 1000)
    interceptor = CallInterceptor(
        served.metrics, access, audit, calls, served.limits.slow_reader_seconds
    )
    server = grpc.aio.server(
        interceptors=[interceptor],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # Two servers on one port would share its calls at random.
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            # Finds connections whose other end has gone without a word, or has stopped.
            ("grpc.keepalive_time_ms", keepalive_ms),
            # The timeout of keepalive alone changes nothing while that of pings is 60 s.
            ("grpc.keepalive_timeout_ms", keepalive_ms),
            ("grpc.http2.ping_timeout_ms", keepalive_ms),
            ("grpc.http2.max_pings_without_data", 0),
            # What clients may ask in turn.
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ],
    )
    generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(
        GenerationService(served), server
    )
    readout_service_pb2_grpc.add_ReadoutServiceServicer_to_server(ReadoutService(served), server)
    concept_service_pb2_grpc.add_ConceptServiceServicer_to_server(ConceptService(served), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(served), server)
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(PolicyService(served), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    reflection.enable_server_reflection(
        (
            *SERVICE_NAMES,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        ),
        server,
    )
    return server
