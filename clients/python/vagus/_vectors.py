"""Vectors of one's own: inline in a program, or uploaded under a name."""

import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

from vagus.v1.concept_service_pb2 import ConceptMetadata, ConceptReference, UploadConceptRequest
from vagus.v1.steering_pb2 import InlineVectors, SiteVector

VectorsLike: TypeAlias = Mapping[int, Sequence[float]] | bytes
"""Numbers by site (lists, arrays, anything that iterates), or a safetensors file with one tensor
of float16, float32 or bfloat16, [sites, hidden]."""

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Vectors:
    """Vectors that a program brings along in place of a concept's name.

    Attributes:
        values: Numbers by site, or a safetensors file.
        sites: The site of each row of a file. Empty: all sites, in order.
    """

    values: VectorsLike
    sites: tuple[int, ...] = ()

    def message(self) -> InlineVectors:
        """The proto form."""
        if isinstance(self.values, bytes):
            return InlineVectors(safetensors=self.values, sites=self.sites)
        if self.sites:
            raise ValueError("sites go with a file; numbers have theirs as keys")
        return InlineVectors(
            vectors=[
                SiteVector(site=site, values=map(float, row)) for site, row in self.values.items()
            ]
        )


class UploadOptions(TypedDict, total=False):
    """Keyword arguments of uploads.

    Keys:
        description: What the concept stands for.
        sites: The site of each row of a file. Default: all sites, in order.
        reference: By site, mean and standard deviation of reference traffic's projections on
            the unit direction, for gates in z-scores. Default: none.
        pack: Name or digest of the pack, to be sure. Default: whichever is served.
        model_fingerprint: Fingerprint of the model, to be sure. Default: whichever is served.
        replace: Replace the tenant's concept of this name. Default: refuse.
    """

    description: str
    sites: Sequence[int]
    reference: Mapping[int, tuple[float, float]]
    pack: str
    model_fingerprint: str
    replace: bool


def upload_messages(
    name: str, vectors: VectorsLike, options: UploadOptions
) -> list[UploadConceptRequest]:
    """The messages of an upload.

    Raises:
        TypeError: An option is unknown.
        ValueError: Numbers are of different lengths, or sites are given beside their keys.
    """
    fields: dict[str, Any] = dict(options)
    if unknown := fields.keys() - UploadOptions.__annotations__.keys():
        raise TypeError(f"unknown option {min(unknown)}")
    if not isinstance(vectors, bytes):
        if fields.get("sites"):
            raise ValueError("sites go with a file; numbers have theirs as keys")
        fields["sites"], vectors = tuple(vectors), _safetensors(list(vectors.values()))
    references = [
        ConceptReference(site=site, mean=mean, deviation=deviation)
        for site, (mean, deviation) in fields.pop("reference", {}).items()
    ]
    metadata = ConceptMetadata(name=name, references=references, **fields)
    chunks = (UploadConceptRequest(chunk=chunk) for chunk in _chunks(vectors))
    return [UploadConceptRequest(metadata=metadata), *chunks]


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK_BYTES):
        yield data[start : start + _CHUNK_BYTES]


def _safetensors(rows: Sequence[Sequence[float]]) -> bytes:
    """A file with the rows as one float32 tensor."""
    width = len(rows[0]) if rows else 0
    if any(len(row) != width for row in rows):
        raise ValueError("the vectors are of different lengths")
    data = b"".join(struct.pack(f"<{width}f", *map(float, row)) for row in rows)
    tensor = {"dtype": "F32", "shape": [len(rows), width], "data_offsets": [0, len(data)]}
    header = json.dumps({"vectors": tensor}).encode()
    return struct.pack("<Q", len(header)) + header + data
