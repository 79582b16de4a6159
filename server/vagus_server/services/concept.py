"""ConceptService."""

import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus_server.errors import invalid
from vagus_server.services.context import ServicerContext
from vagus_server.services.served import Served
from vagus_server.steering.checks import check_concept

_MAX_PAGE = 1000


class ConceptService(pb_grpc.ConceptServiceServicer):
    """Tells which concepts and packs there are."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def ListConcepts(  # noqa: N802
        self, request: pb.ListConceptsRequest, context: ServicerContext
    ) -> pb.ListConceptsResponse:
        """Concepts by name; a page token is the last name of the page before."""
        if request.page_size > _MAX_PAGE:
            invalid(
                "page_size",
                f"must be at most {_MAX_PAGE}",
                value=request.page_size,
                limit=_MAX_PAGE,
            )
        if request.page_token and request.page_token not in self._served.pack.index:
            invalid("page_token", "is not one that this server gave out", value=request.page_token)
        names = [n for n in sorted(self._served.pack.names) if n > request.page_token]
        page = names[: request.page_size or _MAX_PAGE]
        more = len(names) > len(page)
        return pb.ListConceptsResponse(
            concepts=[self._concept(name, False) for name in page],
            next_page_token=page[-1] if more else "",
        )

    async def GetConcept(  # noqa: N802
        self, request: pb.GetConceptRequest, context: ServicerContext
    ) -> pb.GetConceptResponse:
        """One concept."""
        check_concept(request.name, "name", self._served.pack)
        return pb.GetConceptResponse(concept=self._concept(request.name, request.include_vectors))

    async def ListPacks(  # noqa: N802
        self, request: pb.ListPacksRequest, context: ServicerContext
    ) -> pb.ListPacksResponse:
        """The served pack."""
        return pb.ListPacksResponse(packs=[self._pack()])

    async def GetPack(  # noqa: N802
        self, request: pb.GetPackRequest, context: ServicerContext
    ) -> pb.GetPackResponse:
        """The served pack, by name or digest."""
        self._served.check_pack(request.name)
        return pb.GetPackResponse(pack=self._pack())

    def _concept(self, name: str, include_vectors: bool) -> pb.Concept:
        pack = self._served.pack
        i = pack.index[name]
        info = pack.manifest.concepts[i]
        concept = pb.Concept(
            name=name,
            pack=pack.name,
            description=info.description,
            digest=pack.concept_digest(name),
            held_out_top1=info.held_out_top1,
            held_out_top5=info.held_out_top5,
        )
        for site in range(pack.sites):
            concept.sites.add(
                site=site,
                norm=pack.vector_norm(name, site),
                reference_mean=float(pack.reference_mean[i, site]),
                reference_deviation=float(pack.reference_std[i, site]),
                vector=pack.vectors[i, site].tolist() if include_vectors else (),
                collapse_dose=pack.collapse_dose(name, site),
            )
        return concept

    def _pack(self) -> pb.Pack:
        pack = self._served.pack
        manifest = pack.manifest
        created = Timestamp()
        created.FromDatetime(datetime.datetime.fromisoformat(manifest.created))
        return pb.Pack(
            name=pack.name,
            version=manifest.version,
            digest=pack.digest,
            model=manifest.model.name,
            concept_count=len(pack.names),
            sites=range(pack.sites),
            readout_site=pack.readout_site,
            steering_site=pack.steering_site,
            residual_norms=pack.residual_norms,
            created=created,
            license=manifest.license,
            provenance=manifest.provenance,
        )
