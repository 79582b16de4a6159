"""ConceptService."""

import datetime
from collections.abc import AsyncIterator

from google.protobuf.timestamp_pb2 import Timestamp

from vagus.v1 import concept_service_pb2 as pb
from vagus.v1 import concept_service_pb2_grpc as pb_grpc
from vagus_server.concepts.concept import Concept
from vagus_server.concepts.parse import Shape
from vagus_server.errors import invalid, short
from vagus_server.services.context import ServicerContext, check_deadline, current_call
from vagus_server.services.served import Served
from vagus_server.services.upload import Uploads, parse_upload

_MAX_PAGE = 1000
#: Page tokens are this and the last name of the page before.
_TOKEN = "after:"


class ConceptService(pb_grpc.ConceptServiceServicer):
    """Tells which concepts and packs there are; takes in and forgets a tenant's own."""

    def __init__(self, served: Served) -> None:
        self._served = served
        pack = served.pack
        self._uploads = Uploads(Shape(pack.sites, pack.manifest.model.hidden_size))

    async def ListConcepts(  # noqa: N802
        self, request: pb.ListConceptsRequest, context: ServicerContext
    ) -> pb.ListConceptsResponse:
        """Concepts by name, the tenant's own among them."""
        if request.page_size > _MAX_PAGE:
            invalid(
                "page_size",
                f"must be at most {_MAX_PAGE}",
                value=request.page_size,
                limit=_MAX_PAGE,
            )
        token = request.page_token
        if token and not token.startswith(_TOKEN):
            invalid("page_token", "is not one that this server gave out", value=token)
        concepts = self._served.registry.named(current_call.get().tenant)
        # The last name itself may have been deleted since.
        names = sorted(name for name in concepts if not token or name > token[len(_TOKEN) :])
        page = names[: request.page_size or _MAX_PAGE]
        more = len(names) > len(page)
        return pb.ListConceptsResponse(
            concepts=[self._concept(concepts[name], False) for name in page],
            next_page_token=_TOKEN + page[-1] if more else "",
        )

    async def GetConcept(  # noqa: N802
        self, request: pb.GetConceptRequest, context: ServicerContext
    ) -> pb.GetConceptResponse:
        """One concept."""
        tenant = current_call.get().tenant
        concept = self._served.registry.find(request.name, "name", tenant)
        return pb.GetConceptResponse(concept=self._concept(concept, request.include_vectors))

    async def UploadConcept(  # noqa: N802
        self, requests: AsyncIterator[pb.UploadConceptRequest], context: ServicerContext
    ) -> pb.UploadConceptResponse:
        """Takes in a concept whole, or not at all."""
        served = self._served
        check_deadline(context)
        call = current_call.get()
        metadata, data = await self._uploads.receive(requests, call.tenant)
        served.check_pack(metadata.pack)
        if metadata.model_fingerprint:
            served.check_fingerprint(metadata.model_fingerprint)
        concept = parse_upload(metadata, data, self._uploads.shape)
        call.note("upload", concept=concept.name, concept_digest=concept.vectors.digest)
        concept = await served.registry.put(
            call.tenant,
            concept,
            replace=metadata.replace,
            limit=call.limits.max_concepts,
        )
        return pb.UploadConceptResponse(
            digest=concept.vectors.digest,
            sites=concept.vectors.sites,
            z_score_sites=sorted(concept.reference),
        )

    async def DeleteConcept(  # noqa: N802
        self, request: pb.DeleteConceptRequest, context: ServicerContext
    ) -> pb.DeleteConceptResponse:
        """Forgets a concept of the tenant's own."""
        call = current_call.get()
        call.note("delete", concept=short(request.name))
        await self._served.registry.delete(call.tenant, request.name, "name")
        return pb.DeleteConceptResponse()

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

    def _concept(self, concept: Concept, include_vectors: bool) -> pb.Concept:
        message = pb.Concept(
            name=concept.name,
            description=concept.description,
            digest=concept.vectors.digest,
        )
        if concept.created:
            message.origin = pb.CONCEPT_ORIGIN_UPLOADED
            message.created.FromJsonString(concept.created)
        else:
            pack = self._served.pack
            info = pack.manifest.concepts[pack.index[concept.name]]
            message.origin, message.pack = pb.CONCEPT_ORIGIN_PACK, pack.name
            if info.held_out_top1 is not None:
                message.held_out_top1 = info.held_out_top1
            if info.held_out_top5 is not None:
                message.held_out_top5 = info.held_out_top5
        for site in concept.vectors.sites:
            entry = message.sites.add(site=site, norm=concept.vectors.norms[site])
            if site in concept.reference:
                reference = concept.reference[site]
                entry.reference_mean, entry.reference_deviation = reference
            limit = None if concept.created else self._served.pack.collapse_dose(concept.name, site)
            if limit is not None:
                entry.collapse_dose = limit
            if include_vectors:
                entry.vector.extend(concept.vectors.array[site].tolist())
        return message

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
