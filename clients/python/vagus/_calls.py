"""The unary calls: what each sends, where, and how its answer is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from google.protobuf.message import Message as ProtoMessage
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from vagus._constants import REQUEST_ID_KEY
from vagus._decode import Accumulator, readings
from vagus._result import HealthStatus, Reading, Result
from vagus._status import Metadata, metadata_text
from vagus._stubs import Stubs
from vagus.v1 import concept_service_pb2 as concept_pb
from vagus.v1 import generation_service_pb2 as generation_pb
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import policy_service_pb2 as policy_pb
from vagus.v1 import readout_service_pb2 as readout_pb
from vagus.v1.policy_pb2 import Policy

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One unary call.

    Attributes:
        method: Picks the stub's method.
        request: What is sent; a list is a stream of messages.
        read: Makes the result out of the response and its trailing metadata.
    """

    method: Callable[[Stubs], Any]
    request: ProtoMessage | list[concept_pb.UploadConceptRequest]
    read: Callable[[Any, Metadata], T]

    @property
    def argument(self) -> Any:
        """What the stub's method takes; anew for each attempt."""
        return iter(self.request) if isinstance(self.request, list) else self.request


def generate(spec: generation_pb.GenerationSpec) -> Call[Result]:
    """Generates once."""

    def read(response: generation_pb.GenerateResponse, trailing: Metadata) -> Result:
        accumulator = Accumulator(max(spec.sampling.n, 1))
        accumulator.request_id = metadata_text(trailing, REQUEST_ID_KEY)
        accumulator.push(response)
        accumulator.check_complete()
        return accumulator.result

    request = generation_pb.GenerateRequest(spec=spec)
    return Call(lambda stubs: stubs.generation.Generate, request, read)


def read_text(request: readout_pb.ReadTextRequest) -> Call[list[Reading]]:
    """Reads texts."""
    return Call(
        lambda stubs: stubs.readout.ReadText, request, lambda response, _: readings(response)
    )


class ConceptPages:
    """Lists concepts page by page."""

    def __init__(self) -> None:
        self.concepts: list[concept_pb.Concept] = []
        self._page_token: str | None = ""

    def next_call(self) -> Call[concept_pb.ListConceptsResponse] | None:
        """The call for the next page, or None after the last."""
        if self._page_token is None:
            return None
        request = concept_pb.ListConceptsRequest(page_token=self._page_token)
        return Call(lambda stubs: stubs.concept.ListConcepts, request, lambda response, _: response)

    def add(self, page: concept_pb.ListConceptsResponse) -> None:
        """Take in a page."""
        self.concepts += page.concepts
        self._page_token = page.next_page_token or None


def get_concept(name: str, vectors: bool) -> Call[concept_pb.Concept]:
    """Gets one concept."""
    request = concept_pb.GetConceptRequest(name=name, include_vectors=vectors)
    return Call(
        lambda stubs: stubs.concept.GetConcept, request, lambda response, _: response.concept
    )


def upload_concept(
    messages: list[concept_pb.UploadConceptRequest],
) -> Call[concept_pb.UploadConceptResponse]:
    """Registers a concept."""
    return Call(lambda stubs: stubs.concept.UploadConcept, messages, lambda response, _: response)


def delete_concept(name: str) -> Call[None]:
    """Forgets a concept."""
    request = concept_pb.DeleteConceptRequest(name=name)
    return Call(lambda stubs: stubs.concept.DeleteConcept, request, lambda _, __: None)


def list_packs() -> Call[list[concept_pb.Pack]]:
    """Lists the packs."""
    request = concept_pb.ListPacksRequest()
    return Call(
        lambda stubs: stubs.concept.ListPacks, request, lambda response, _: list(response.packs)
    )


def get_pack(name: str) -> Call[concept_pb.Pack]:
    """Gets one pack."""
    request = concept_pb.GetPackRequest(name=name)
    return Call(lambda stubs: stubs.concept.GetPack, request, lambda response, _: response.pack)


def list_models() -> Call[list[model_pb.Model]]:
    """Lists the models."""
    request = model_pb.ListModelsRequest()
    return Call(
        lambda stubs: stubs.model.ListModels, request, lambda response, _: list(response.models)
    )


def get_model(name: str) -> Call[model_pb.Model]:
    """Gets one model."""
    request = model_pb.GetModelRequest(name=name)
    return Call(lambda stubs: stubs.model.GetModel, request, lambda response, _: response.model)


def list_policies() -> Call[list[Policy]]:
    """Lists the policies in force."""
    request = policy_pb.ListPoliciesRequest()

    def read(response: policy_pb.ListPoliciesResponse, _: Metadata) -> list[Policy]:
        return list(response.policies)

    return Call(lambda stubs: stubs.policy.ListPolicies, request, read)


def check_health(service: str) -> Call[HealthStatus]:
    """Checks the standard gRPC health service."""

    def read(response: HealthCheckResponse, _: Metadata) -> HealthStatus:
        return cast(HealthStatus, HealthCheckResponse.ServingStatus.Name(response.status))

    return Call(lambda stubs: stubs.health.Check, HealthCheckRequest(service=service), read)
