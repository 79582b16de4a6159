"""Receives an upload: metadata first, then a file in pieces; bounded in size, time and number."""

import asyncio
import datetime
import math
import re
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator

import grpc

from vagus.v1 import concept_service_pb2 as pb
from vagus_server.concepts.concept import Concept, Reference
from vagus_server.concepts.parse import Shape, check_size, parse_file
from vagus_server.errors import ApiError, check_count, invalid
from vagus_server.steering.checks import LARGEST, check_sites

_NAME = re.compile(r"\w[\w .-]{0,63}")
_MAX_DESCRIPTION = 1000
#: An upload takes memory from its first message on.
_MAX_UPLOADS, _SECONDS = 16, 60.0
#: Of one tenant: however slowly its own come, there are places for others.
_MAX_OF_TENANT = 4


def _full(what: str, limit: int) -> ApiError:
    return ApiError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "QUEUE_FULL",
        f"{what}; try again later",
        retry_seconds=1,
        limit=limit,
    )


class Uploads:
    """Receives uploads for a model of this shape."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        #: How many run, by tenant.
        self._running: Counter[str] = Counter()

    async def receive(
        self, requests: AsyncIterator[pb.UploadConceptRequest], tenant: str = ""
    ) -> tuple[pb.ConceptMetadata, bytes]:
        """The metadata and the whole file, or ApiError.

        `tenant` is whose upload it is; those of nobody's have the common limit alone.
        """
        if self._running.total() >= _MAX_UPLOADS:
            raise _full(f"{_MAX_UPLOADS} uploads are running", _MAX_UPLOADS)
        if tenant and self._running[tenant] >= _MAX_OF_TENANT:
            raise _full(f"{_MAX_OF_TENANT} uploads of the tenant are running", _MAX_OF_TENANT)
        self._running[tenant] += 1
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._receive(requests)
        except TimeoutError:
            raise ApiError(
                grpc.StatusCode.DEADLINE_EXCEEDED,
                "DEADLINE_PASSED",
                f"the upload took more than {_SECONDS:g} seconds",
                stage="upload",
            ) from None
        finally:
            self._running[tenant] -= 1
            if not self._running[tenant]:
                del self._running[tenant]  # tenants come and go

    async def _receive(
        self, requests: AsyncIterator[pb.UploadConceptRequest]
    ) -> tuple[pb.ConceptMetadata, bytes]:
        metadata, data = None, bytearray()
        async for request in requests:
            part = request.WhichOneof("part")
            if metadata is None:
                if part != "metadata":
                    invalid("metadata", "must be the first message")
                metadata = request.metadata
                check_metadata(metadata, self.shape)
                continue
            if part != "chunk":
                invalid("chunk", "must be set in each message after the first")
            data += request.chunk
            check_size(len(data), self.shape, "chunk")
        if metadata is None:
            invalid("metadata", "must be the first message")
        return metadata, bytes(data)


def check_metadata(metadata: pb.ConceptMetadata, shape: Shape) -> None:
    """Raises ApiError for what is wrong without looking at the vectors."""
    name = metadata.name
    if (
        not _NAME.fullmatch(name)
        or name.endswith(" ")
        or not unicodedata.is_normalized("NFC", name)
    ):
        invalid(
            "metadata.name",
            "must be 1 to 64 letters, digits, spaces and any of _.-, beginning with a letter, "
            "digit or underscore, in Unicode's form NFC",
            value=name,
        )
    if len(metadata.description) > _MAX_DESCRIPTION:
        invalid(
            "metadata.description",
            f"must have at most {_MAX_DESCRIPTION} characters",
            value=len(metadata.description),
            limit=_MAX_DESCRIPTION,
        )
    if metadata.dtype not in ("", "float16", "float32", "bfloat16"):
        invalid("metadata.dtype", "must be float16, float32 or bfloat16", value=metadata.dtype)
    check_sites(metadata.sites, shape.sites, "metadata.sites")
    check_count(len(metadata.references), shape.sites, "metadata.references")
    check_sites([r.site for r in metadata.references], shape.sites, "metadata.references")
    covered = set(metadata.sites) or set(range(shape.sites))
    for i, reference in enumerate(metadata.references):
        path = f"metadata.references[{i}]"
        if reference.site not in covered:
            invalid(f"{path}.site", "is not one of the sites uploaded", value=reference.site)
        if not math.isfinite(reference.mean) or abs(reference.mean) > LARGEST:
            invalid(f"{path}.mean", "must be finite and of a sane size", value=reference.mean)
        if not 0 < reference.deviation <= LARGEST:  # also refuses NaN
            invalid(f"{path}.deviation", "must be above 0", value=reference.deviation)


def parse_upload(metadata: pb.ConceptMetadata, data: bytes, shape: Shape) -> Concept:
    """The concept of checked metadata and a file, or ApiError."""
    return Concept(
        name=metadata.name,
        vectors=parse_file(data, metadata.sites, shape, "chunk", "metadata.sites", metadata.dtype),
        reference={r.site: Reference(r.mean, r.deviation) for r in metadata.references},
        description=metadata.description,
        created=datetime.datetime.now(datetime.UTC).isoformat(),
    )
