"""Loads packs, and refuses every file that is not exactly what it should be.

A pack is a folder with `pack.json` (schema below) and `tensors.safetensors`:

    vectors            [concepts, sites, hidden]   float16
    residual_norms     [sites]                     float32  mean |x|, position 0 left out
    reference_mean     [concepts, sites]           float32  of the projection on v / |v|
    reference_std      [concepts, sites]           float32
"""

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_safetensors

SCHEMA_VERSION = 1
MANIFEST = "pack.json"
TENSORS = "tensors.safetensors"
_MAX_MANIFEST_BYTES = 4 << 20
_MAX_TENSOR_BYTES = 8 << 30


class PackError(ValueError):
    """The pack cannot be trusted or does not fit the model; the message says why."""


class ConceptInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the manifest says of a concept."""

    name: str
    description: str
    held_out_top1: float | None = None
    held_out_top5: float | None = None
    #: By site: the smallest measured dose at which the text fell apart, in mean residual norms.
    collapse_dose: dict[int, float] = {}


class ModelInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The model that a pack was made for."""

    name: str
    #: See vagus_server.models.fingerprint.
    fingerprint: str
    hidden_size: int
    sites: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The contents of pack.json."""

    schema_version: int
    name: str
    version: str
    license: str
    #: RFC 3339.
    created: str
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

    def concept_digest(self, concept: str) -> str:
        """SHA-256 of a concept's vectors, hexadecimal."""
        return self._digests[concept]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {
            name: hashlib.sha256(self.vectors[i].astype("<f4").tobytes()).hexdigest()
            for name, i in self.index.items()
        }

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Loads and checks a pack; raises PackError."""
        manifest = _read_manifest(folder / MANIFEST)
        data = _read_limited(folder / TENSORS, _MAX_TENSOR_BYTES)
        if hashlib.sha256(data).hexdigest() != manifest.tensors_sha256:
            raise PackError(f"{TENSORS} does not have the checksum that {MANIFEST} states")
        try:
            tensors = load_safetensors(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise PackError(f"{TENSORS} is not a safetensors file: {error}") from None
        _check_tensors(manifest, tensors)
        return cls(manifest, tensors)


def _read_manifest(path: Path) -> Manifest:
    try:
        manifest = msgspec.json.decode(_read_limited(path, _MAX_MANIFEST_BYTES), type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise PackError(f"{MANIFEST} does not follow the schema: {error}") from None
    if manifest.schema_version != SCHEMA_VERSION:
        raise PackError(
            f"{MANIFEST} has schema version {manifest.schema_version}; this server reads "
            f"{SCHEMA_VERSION}"
        )
    names = [concept.name for concept in manifest.concepts]
    if not names or len(set(names)) != len(names) or not all(names):
        raise PackError("concept names must be present, distinct and not empty")
    doses = [item for c in manifest.concepts for item in c.collapse_dose.items()]
    for site in (manifest.readout_site, manifest.steering_site, *dict(doses)):
        if not 0 <= site < manifest.model.sites:
            raise PackError(f"site {site} is not one of the model's {manifest.model.sites}")
    if not all(0 < dose < float("inf") for _, dose in doses):
        raise PackError("collapse doses must be finite and above 0")
    return manifest


def _read_limited(path: Path, limit: int) -> bytes:
    try:
        if path.stat().st_size > limit:
            raise PackError(f"{path.name} is larger than {limit} bytes")
        return path.read_bytes()
    except OSError as error:
        raise PackError(f"{path.name} cannot be read: {error.strerror}") from None


def _check_tensors(manifest: Manifest, tensors: dict[str, np.ndarray]) -> None:
    concepts, sites = len(manifest.concepts), manifest.model.sites
    expected: dict[str, tuple[tuple[int, ...], str]] = {
        "vectors": ((concepts, sites, manifest.model.hidden_size), "float16"),
        "residual_norms": ((sites,), "float32"),
        "reference_mean": ((concepts, sites), "float32"),
        "reference_std": ((concepts, sites), "float32"),
    }
    if set(tensors) != set(expected):
        raise PackError(f"{TENSORS} holds {sorted(tensors)}, not {sorted(expected)}")
    for name, (shape, dtype) in expected.items():
        tensor = tensors[name]
        if tensor.shape != shape or tensor.dtype.name != dtype:
            raise PackError(f"{name} is {tensor.dtype.name} {tensor.shape}, not {dtype} {shape}")
        if not np.isfinite(tensor).all():
            raise PackError(f"{name} has values that are not finite")
    if (tensors["residual_norms"] <= 0).any() or (tensors["reference_std"] <= 0).any():
        raise PackError("residual norms and reference deviations must be above 0")
    if (np.abs(tensors["vectors"].astype(np.float32)).max(axis=2) == 0).any():
        raise PackError("a vector is zero: its concept has no direction at some site")
