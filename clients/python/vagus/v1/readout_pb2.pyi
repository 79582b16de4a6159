from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadoutSelection(_message.Message):
    __slots__ = ("names", "top_k", "sites", "prompt", "last_prompt_token", "generation", "before", "after", "raw", "z_score")
    NAMES_FIELD_NUMBER: _ClassVar[int]
    TOP_K_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    LAST_PROMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    RAW_FIELD_NUMBER: _ClassVar[int]
    Z_SCORE_FIELD_NUMBER: _ClassVar[int]
    names: ConceptNames
    top_k: int
    sites: _containers.RepeatedScalarFieldContainer[int]
    prompt: bool
    last_prompt_token: bool
    generation: bool
    before: bool
    after: bool
    raw: bool
    z_score: bool
    def __init__(self, names: _Optional[_Union[ConceptNames, _Mapping]] = ..., top_k: _Optional[int] = ..., sites: _Optional[_Iterable[int]] = ..., prompt: _Optional[bool] = ..., last_prompt_token: _Optional[bool] = ..., generation: _Optional[bool] = ..., before: _Optional[bool] = ..., after: _Optional[bool] = ..., raw: _Optional[bool] = ..., z_score: _Optional[bool] = ...) -> None: ...

class ConceptNames(_message.Message):
    __slots__ = ("names",)
    NAMES_FIELD_NUMBER: _ClassVar[int]
    names: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, names: _Optional[_Iterable[str]] = ...) -> None: ...

class ReadoutLayout(_message.Message):
    __slots__ = ("concepts", "sites", "pack_digest")
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    PACK_DIGEST_FIELD_NUMBER: _ClassVar[int]
    concepts: _containers.RepeatedScalarFieldContainer[str]
    sites: _containers.RepeatedScalarFieldContainer[int]
    pack_digest: str
    def __init__(self, concepts: _Optional[_Iterable[str]] = ..., sites: _Optional[_Iterable[int]] = ..., pack_digest: _Optional[str] = ...) -> None: ...

class TokenReadout(_message.Message):
    __slots__ = ("position", "sites")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    position: int
    sites: _containers.RepeatedCompositeFieldContainer[SiteReadout]
    def __init__(self, position: _Optional[int] = ..., sites: _Optional[_Iterable[_Union[SiteReadout, _Mapping]]] = ...) -> None: ...

class SiteReadout(_message.Message):
    __slots__ = ("site", "concepts", "before", "after", "before_z", "after_z")
    SITE_FIELD_NUMBER: _ClassVar[int]
    CONCEPTS_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    BEFORE_Z_FIELD_NUMBER: _ClassVar[int]
    AFTER_Z_FIELD_NUMBER: _ClassVar[int]
    site: int
    concepts: _containers.RepeatedScalarFieldContainer[int]
    before: _containers.RepeatedScalarFieldContainer[float]
    after: _containers.RepeatedScalarFieldContainer[float]
    before_z: _containers.RepeatedScalarFieldContainer[float]
    after_z: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, site: _Optional[int] = ..., concepts: _Optional[_Iterable[int]] = ..., before: _Optional[_Iterable[float]] = ..., after: _Optional[_Iterable[float]] = ..., before_z: _Optional[_Iterable[float]] = ..., after_z: _Optional[_Iterable[float]] = ...) -> None: ...

class TurnReadout(_message.Message):
    __slots__ = ("sites", "tokens")
    SITES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    sites: _containers.RepeatedCompositeFieldContainer[SiteReadout]
    tokens: int
    def __init__(self, sites: _Optional[_Iterable[_Union[SiteReadout, _Mapping]]] = ..., tokens: _Optional[int] = ...) -> None: ...
