"""The services of this API, from their descriptors."""

from vagus.v1 import (
    concept_service_pb2,
    generation_service_pb2,
    model_service_pb2,
    policy_service_pb2,
    readout_service_pb2,
)

_FILES = (
    generation_service_pb2,
    readout_service_pb2,
    concept_service_pb2,
    model_service_pb2,
    policy_service_pb2,
)
#: Their descriptors.
SERVICES = tuple(
    service for file in _FILES for service in file.DESCRIPTOR.services_by_name.values()
)
METHOD_NAMES = [method.name for service in SERVICES for method in service.methods]
