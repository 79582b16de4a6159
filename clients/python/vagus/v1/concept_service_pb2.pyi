import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ConceptOrigin(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONCEPT_ORIGIN_UNSPECIFIED: _ClassVar[ConceptOrigin]
    CONCEPT_ORIGIN_PACK: _ClassVar[ConceptOrigin]
    CONCEPT_ORIGIN_UPLOADED: _ClassVar[ConceptOrigin]
CONCEPT_ORIGIN_UNSPECIFIED: ConceptOrigin
CONCEPT_ORIGIN_PACK: ConceptOrigin
CONCEPT_ORIGIN_UPLOADED: ConceptOrigin

class ListConceptsRequest(_message.Message):
    __slots__ = ("page_size", "page_token")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConceptsResponse(_message.Message):
    __slots__ = ("concepts", "next_page_token")
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    concepts: _containers.RepeatedCompositeFieldContainer[Concept]
    next_page_token: str
    def __init__(self, concepts: _Optional[_Iterable[_Union[Concept, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class GetConceptRequest(_message.Message):
    __slots__ = ("name", "include_vectors")
    NAME_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_VECTORS_FIELD_NUMBER: _ClassVar[int]
    name: str
    include_vectors: bool
    def __init__(self, name: _Optional[str] = ..., include_vectors: _Optional[bool] = ...) -> None: ...

class GetConceptResponse(_message.Message):
    __slots__ = ("concept",)
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    concept: Concept
    def __init__(self, concept: _Optional[_Union[Concept, _Mapping]] = ...) -> None: ...

class ListPacksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPacksResponse(_message.Message):
    __slots__ = ("packs",)
    PACKS_FIELD_NUMBER: _ClassVar[int]
    packs: _containers.RepeatedCompositeFieldContainer[Pack]
    def __init__(self, packs: _Optional[_Iterable[_Union[Pack, _Mapping]]] = ...) -> None: ...

class GetPackRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetPackResponse(_message.Message):
    __slots__ = ("pack",)
    PACK_FIELD_NUMBER: _ClassVar[int]
    pack: Pack
    def __init__(self, pack: _Optional[_Union[Pack, _Mapping]] = ...) -> None: ...

class UploadConceptRequest(_message.Message):
    __slots__ = ("metadata", "chunk")
    METADATA_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    metadata: ConceptMetadata
    chunk: bytes
    def __init__(self, metadata: _Optional[_Union[ConceptMetadata, _Mapping]] = ..., chunk: _Optional[bytes] = ...) -> None: ...

class ConceptMetadata(_message.Message):
    __slots__ = ("name", "description", "model_fingerprint", "pack", "sites", "dtype", "references", "replace")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    REFERENCES_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    model_fingerprint: str
    pack: str
    sites: _containers.RepeatedScalarFieldContainer[int]
    dtype: str
    references: _containers.RepeatedCompositeFieldContainer[ConceptReference]
    replace: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., model_fingerprint: _Optional[str] = ..., pack: _Optional[str] = ..., sites: _Optional[_Iterable[int]] = ..., dtype: _Optional[str] = ..., references: _Optional[_Iterable[_Union[ConceptReference, _Mapping]]] = ..., replace: _Optional[bool] = ...) -> None: ...

class ConceptReference(_message.Message):
    __slots__ = ("site", "mean", "deviation")
    SITE_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    DEVIATION_FIELD_NUMBER: _ClassVar[int]
    site: int
    mean: float
    deviation: float
    def __init__(self, site: _Optional[int] = ..., mean: _Optional[float] = ..., deviation: _Optional[float] = ...) -> None: ...

class UploadConceptResponse(_message.Message):
    __slots__ = ("digest", "sites", "z_score_sites")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    Z_SCORE_SITES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    sites: _containers.RepeatedScalarFieldContainer[int]
    z_score_sites: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, digest: _Optional[str] = ..., sites: _Optional[_Iterable[int]] = ..., z_score_sites: _Optional[_Iterable[int]] = ...) -> None: ...

class DeleteConceptRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteConceptResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Concept(_message.Message):
    __slots__ = ("name", "pack", "description", "sites", "digest", "held_out_top1", "held_out_top5", "origin", "created")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_TOP1_FIELD_NUMBER: _ClassVar[int]
    HELD_OUT_TOP5_FIELD_NUMBER: _ClassVar[int]
    ORIGIN_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    name: str
    pack: str
    description: str
    sites: _containers.RepeatedCompositeFieldContainer[ConceptSite]
    digest: str
    held_out_top1: float
    held_out_top5: float
    origin: ConceptOrigin
    created: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., pack: _Optional[str] = ..., description: _Optional[str] = ..., sites: _Optional[_Iterable[_Union[ConceptSite, _Mapping]]] = ..., digest: _Optional[str] = ..., held_out_top1: _Optional[float] = ..., held_out_top5: _Optional[float] = ..., origin: _Optional[_Union[ConceptOrigin, str]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ConceptSite(_message.Message):
    __slots__ = ("site", "norm", "reference_mean", "reference_deviation", "vector", "collapse_dose")
    SITE_FIELD_NUMBER: _ClassVar[int]
    NORM_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_MEAN_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_DEVIATION_FIELD_NUMBER: _ClassVar[int]
    VECTOR_FIELD_NUMBER: _ClassVar[int]
    COLLAPSE_DOSE_FIELD_NUMBER: _ClassVar[int]
    site: int
    norm: float
    reference_mean: float
    reference_deviation: float
    vector: _containers.RepeatedScalarFieldContainer[float]
    collapse_dose: float
    def __init__(self, site: _Optional[int] = ..., norm: _Optional[float] = ..., reference_mean: _Optional[float] = ..., reference_deviation: _Optional[float] = ..., vector: _Optional[_Iterable[float]] = ..., collapse_dose: _Optional[float] = ...) -> None: ...

class Pack(_message.Message):
    __slots__ = ("name", "version", "digest", "model", "concept_count", "sites", "readout_site", "steering_site", "residual_norms", "created", "license", "provenance")
    class ProvenanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    CONCEPT_COUNT_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    READOUT_SITE_FIELD_NUMBER: _ClassVar[int]
    STEERING_SITE_FIELD_NUMBER: _ClassVar[int]
    RESIDUAL_NORMS_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    LICENSE_FIELD_NUMBER: _ClassVar[int]
    PROVENANCE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    digest: str
    model: str
    concept_count: int
    sites: _containers.RepeatedScalarFieldContainer[int]
    readout_site: int
    steering_site: int
    residual_norms: _containers.RepeatedScalarFieldContainer[float]
    created: _timestamp_pb2.Timestamp
    license: str
    provenance: _containers.ScalarMap[str, str]
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., model: _Optional[str] = ..., concept_count: _Optional[int] = ..., sites: _Optional[_Iterable[int]] = ..., readout_site: _Optional[int] = ..., steering_site: _Optional[int] = ..., residual_norms: _Optional[_Iterable[float]] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., license: _Optional[str] = ..., provenance: _Optional[_Mapping[str, str]] = ...) -> None: ...
