"""Uploads in a few words."""

from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
from safetensors.numpy import save

from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus.v1 import steering_pb2

UPLOAD = "/vagus.v1.ConceptService/UploadConcept"


def parts(data: bytes, *, size: int = 10_000, **metadata: Any) -> Iterator[pb.UploadConceptRequest]:
    """The messages of an upload."""
    yield pb.UploadConceptRequest(metadata=pb.ConceptMetadata(**metadata))
    for start in range(0, len(data), size):
        yield pb.UploadConceptRequest(chunk=data[start : start + size])


def upload(
    channel: grpc.Channel, rows: np.ndarray | bytes, tenant: str = "", **metadata: Any
) -> pb.UploadConceptResponse:
    """Uploads rows [sites, hidden], or a file as it is."""
    data = rows if isinstance(rows, bytes) else save({"vectors": rows})
    call = pb_grpc.ConceptServiceStub(channel).UploadConcept
    return call(parts(data, **metadata), timeout=60, metadata=of(tenant))


def delete(channel: grpc.Channel, name: str, tenant: str = "") -> None:
    stub = pb_grpc.ConceptServiceStub(channel)
    stub.DeleteConcept(pb.DeleteConceptRequest(name=name), timeout=60, metadata=of(tenant))


def concepts(channel: grpc.Channel, tenant: str = "") -> dict[str, pb.Concept]:
    """What a tenant can name."""
    stub = pb_grpc.ConceptServiceStub(channel)
    answer = stub.ListConcepts(pb.ListConceptsRequest(), timeout=60, metadata=of(tenant))
    return {concept.name: concept for concept in answer.concepts}


def of(tenant: str) -> tuple[tuple[str, str], ...]:
    return (("vagus-tenant", tenant),) if tenant else ()


def inline(
    rows: np.ndarray, strength: float, sites: tuple[int, ...], unit: int
) -> steering_pb2.Operation:
    """ADD of vectors [sites of the model, hidden] that come with the request."""
    return steering_pb2.Operation(
        inline=steering_pb2.InlineVectors(
            vectors=[{"site": site, "values": rows[site].tolist()} for site in sites]
        ),
        sites=sites,
        add=steering_pb2.Add(strength=strength, unit=unit),
    )
