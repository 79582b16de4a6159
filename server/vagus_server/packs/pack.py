"""Loads packs, and refuses every file that is not exactly what it should be.

A pack is a folder with `pack.json` (schema below) and `tensors.safetensors`:

    vectors            [concepts, sites, hidden]   float16
    residual_norms     [sites]                     float32  mean |x|, position 0 left out
    reference_mean     [concepts, sites]           float32  of the projection on v / |v|
    reference_std      [concepts, sites]           float32
"""

import hashlib
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Annotated, Self

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

from vagus_server.packs.files import (
    MAX_HEADER_BYTES,
    Entry,
    PackError,
    check_json,
    read_header,
    read_limited,
)
from vagus_server.packs.names import is_concept_name

__all__ = ["ConceptInfo", "Manifest", "ModelInfo", "Pack", "PackError"]

SCHEMA_VERSION = 1
MANIFEST = "pack.json"
TENSORS = "tensors.safetensors"
_MAX_MANIFEST_BYTES = 4 << 20
_MAX_TENSOR_BYTES = 8 << 30
_DTYPES = {"F16": "float16", "F32": "float32"}
#: Shown to people and in labels of metrics: one line of visible characters.
_Line = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
_Text = Annotated[str, msgspec.Meta(max_length=4000, pattern=r"^[^\x00]*\Z")]
_Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
_Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]


class ConceptInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the manifest says of a concept."""

    #: See vagus_server.packs.names.
    name: str
    description: _Text
    held_out_top1: _Share | None = None
    held_out_top5: _Share | None = None
    #: By site: the smallest measured dose at which the text fell apart, in mean residual norms.
    collapse_dose: dict[int, float] = {}


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that a pack was made for."""

    name: _Line
    #: See vagus_server.models.fingerprint.
    fingerprint: _Line
    hidden_size: _Count
    sites: _Count


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of pack.json."""

    schema_version: int
    name: _Line
    version: _Line
    license: _Line
    #: RFC 3339.
    created: _Line
    model: ModelInfo
    concepts: list[ConceptInfo]
    readout_site: int
    steering_site: int
    tensors_sha256: str
    provenance: dict[str, str]


class Pack:
    """A loaded pack. Arrays are float32 and read-only by convention."""

    def __init__(self, manifest: Manifest, tensors: dict[str, np.ndarray]) -> None:
        self.manifest = manifest
        self.vectors = tensors["vectors"].astype(np.float32)
        self.residual_norms: list[float] = tensors["residual_norms"].astype(float).tolist()
        self.reference_mean = tensors["reference_mean"].astype(np.float32)
        self.reference_std = tensors["reference_std"].astype(np.float32)
        self.index = {concept.name: i for i, concept in enumerate(manifest.concepts)}
        self._norms = np.linalg.norm(self.vectors.astype(np.float64), axis=2)

    @property
    def name(self) -> str:
        """The pack's name."""
        return self.manifest.name

    @property
    def digest(self) -> str:
        """SHA-256 of the tensors file, hexadecimal."""
        return self.manifest.tensors_sha256

    @property
    def sites(self) -> int:
        """Number of sites, which is the model's number of decoder layers."""
        return self.manifest.model.sites

    @property
    def readout_site(self) -> int:
        """The site read by default."""
        return self.manifest.readout_site

    @property
    def steering_site(self) -> int:
        """The site steered by default."""
        return self.manifest.steering_site

    @cached_property
    def names(self) -> list[str]:
        """Concept names in the order of the tensors."""
        return list(self.index)

    def vector_norm(self, concept: str, site: int) -> float:
        """Length of a concept's vector at a site."""
        return float(self._norms[self.index[concept], site])

    def collapse_dose(self, concept: str, site: int) -> float | None:
        """Smallest measured dose at which steering here made the text fall apart, if any."""
        i = self.index.get(concept)
        return None if i is None else self.manifest.concepts[i].collapse_dose.get(site)

    @cached_property
    def unit_vectors(self) -> np.ndarray:
        """Unit directions, float32 [concepts, sites, hidden]."""
        return (self.vectors / self._norms[:, :, None]).astype(np.float32)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads and checks a pack; raises PackError."""
        manifest = parse_manifest(read_limited(folder / MANIFEST, _MAX_MANIFEST_BYTES))
        expected = _expected(manifest)
        data = read_limited(folder / TENSORS, min(_size(expected), _MAX_TENSOR_BYTES))
        if hashlib.sha256(data).hexdigest() != manifest.tensors_sha256:
            raise PackError(f"{TENSORS} does not have the checksum that {MANIFEST} states")
        try:
            _check_header(read_header(data), expected)
            tensors = load_safetensors(data)
        except PackError:
            raise
        except (SafetensorError, ValueError) as error:
            raise PackError(f"{TENSORS} is not a safetensors file: {_short(error)}") from None
        _check_values(tensors)
        return cls(manifest, tensors)


def parse_manifest(data: bytes) -> Manifest:
    """The contents of pack.json, checked; raises PackError."""
    try:
        check_json(data)
        manifest = msgspec.json.decode(data, type=Manifest)
    except ValueError as error:
        raise PackError(f"{MANIFEST} does not follow the schema: {_short(error)}") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise PackError(
            f"{MANIFEST} has schema version {manifest.schema_version}; this server reads "
            f"{SCHEMA_VERSION}"
        )
    names = [concept.name for concept in manifest.concepts]
    if not names or len(set(names)) != len(names) or not all(names):
        raise PackError("concept names must be present, distinct and not empty")
    for name in names:
        if not is_concept_name(name):
            raise PackError(f"{name[:80]!r} is not a name that a concept can have")
    doses = [item for c in manifest.concepts for item in c.collapse_dose.items()]
    for site in (manifest.readout_site, manifest.steering_site, *dict(doses)):
        if not 0 <= site < manifest.model.sites:
            raise PackError(f"site {site} is not one of the model's {manifest.model.sites}")
    if not all(0 < dose < float("inf") for _, dose in doses):
        raise PackError("collapse doses must be finite and above 0")
    return manifest


def _short(error: Exception) -> str:
    # A hostile file may have put its own text into the message.
    return str(error)[:300]


#: Of each tensor the shape and the dtype.
_Tensors = dict[str, tuple[tuple[int, ...], str]]


def _expected(manifest: Manifest) -> _Tensors:
    concepts, sites = len(manifest.concepts), manifest.model.sites
    return {
        "vectors": ((concepts, sites, manifest.model.hidden_size), "float16"),
        "residual_norms": ((sites,), "float32"),
        "reference_mean": ((concepts, sites), "float32"),
        "reference_std": ((concepts, sites), "float32"),
    }


def _size(tensors: _Tensors) -> int:
    """The most bytes that a file of these tensors can have."""
    values = sum(prod(shape) * np.dtype(dtype).itemsize for shape, dtype in tensors.values())
    return 8 + MAX_HEADER_BYTES + values


def _check_header(entries: dict[str, Entry], expected: _Tensors) -> None:
    if set(entries) != set(expected):
        names = [name[:80] for name in sorted(entries)[:10]]
        raise PackError(f"{TENSORS} holds {names}, not {sorted(expected)}")
    for name, (shape, dtype) in expected.items():
        found, kind = tuple(entries[name].shape), entries[name].dtype
        if found != shape or _DTYPES.get(kind) != dtype:
            kind = _DTYPES.get(kind, kind[:20])
            raise PackError(f"{name} is {kind} {str(found)[:80]}, not {dtype} {shape}")


def _check_values(tensors: dict[str, np.ndarray]) -> None:
    for name, tensor in tensors.items():
        if not np.isfinite(tensor).all():
            raise PackError(f"{name} has values that are not finite")
    if (tensors["residual_norms"] <= 0).any() or (tensors["reference_std"] <= 0).any():
        raise PackError("residual norms and reference deviations must be above 0")
    if (tensors["vectors"] == 0).all(axis=2).any():
        raise PackError("a vector is zero: its concept has no direction at some site")
