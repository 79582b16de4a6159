from vagus.v1 import prompt_pb2 as _prompt_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StrengthUnit(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STRENGTH_UNIT_UNSPECIFIED: _ClassVar[StrengthUnit]
    STRENGTH_UNIT_RESIDUAL: _ClassVar[StrengthUnit]
    STRENGTH_UNIT_VECTOR: _ClassVar[StrengthUnit]
    STRENGTH_UNIT_ABSOLUTE: _ClassVar[StrengthUnit]

class Phase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PHASE_UNSPECIFIED: _ClassVar[Phase]
    PHASE_PROMPT: _ClassVar[Phase]
    PHASE_GENERATION: _ClassVar[Phase]
    PHASE_ALL: _ClassVar[Phase]
STRENGTH_UNIT_UNSPECIFIED: StrengthUnit
STRENGTH_UNIT_RESIDUAL: StrengthUnit
STRENGTH_UNIT_VECTOR: StrengthUnit
STRENGTH_UNIT_ABSOLUTE: StrengthUnit
PHASE_UNSPECIFIED: Phase
PHASE_PROMPT: Phase
PHASE_GENERATION: Phase
PHASE_ALL: Phase

class Program(_message.Message):
    __slots__ = ("operations",)
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    operations: _containers.RepeatedCompositeFieldContainer[Operation]
    def __init__(self, operations: _Optional[_Iterable[_Union[Operation, _Mapping]]] = ...) -> None: ...

class Operation(_message.Message):
    __slots__ = ("concept", "sites", "add", "ablate", "set", "clamp", "scope", "gate", "envelope", "inline")
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    ADD_FIELD_NUMBER: _ClassVar[int]
    ABLATE_FIELD_NUMBER: _ClassVar[int]
    SET_FIELD_NUMBER: _ClassVar[int]
    CLAMP_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    INLINE_FIELD_NUMBER: _ClassVar[int]
    concept: str
    sites: _containers.RepeatedScalarFieldContainer[int]
    add: Add
    ablate: Ablate
    set: Set
    clamp: Clamp
    scope: Scope
    gate: Gate
    envelope: Envelope
    inline: InlineVectors
    def __init__(self, concept: _Optional[str] = ..., sites: _Optional[_Iterable[int]] = ..., add: _Optional[_Union[Add, _Mapping]] = ..., ablate: _Optional[_Union[Ablate, _Mapping]] = ..., set: _Optional[_Union[Set, _Mapping]] = ..., clamp: _Optional[_Union[Clamp, _Mapping]] = ..., scope: _Optional[_Union[Scope, _Mapping]] = ..., gate: _Optional[_Union[Gate, _Mapping]] = ..., envelope: _Optional[_Union[Envelope, _Mapping]] = ..., inline: _Optional[_Union[InlineVectors, _Mapping]] = ...) -> None: ...

class InlineVectors(_message.Message):
    __slots__ = ("safetensors", "sites", "vectors")
    SAFETENSORS_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    safetensors: bytes
    sites: _containers.RepeatedScalarFieldContainer[int]
    vectors: _containers.RepeatedCompositeFieldContainer[SiteVector]
    def __init__(self, safetensors: _Optional[bytes] = ..., sites: _Optional[_Iterable[int]] = ..., vectors: _Optional[_Iterable[_Union[SiteVector, _Mapping]]] = ...) -> None: ...

class SiteVector(_message.Message):
    __slots__ = ("site", "values")
    SITE_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    site: int
    values: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, site: _Optional[int] = ..., values: _Optional[_Iterable[float]] = ...) -> None: ...

class Add(_message.Message):
    __slots__ = ("strength", "unit")
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    strength: float
    unit: StrengthUnit
    def __init__(self, strength: _Optional[float] = ..., unit: _Optional[_Union[StrengthUnit, str]] = ...) -> None: ...

class Ablate(_message.Message):
    __slots__ = ("share",)
    SHARE_FIELD_NUMBER: _ClassVar[int]
    share: float
    def __init__(self, share: _Optional[float] = ...) -> None: ...

class Set(_message.Message):
    __slots__ = ("value", "unit")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    value: float
    unit: StrengthUnit
    def __init__(self, value: _Optional[float] = ..., unit: _Optional[_Union[StrengthUnit, str]] = ...) -> None: ...

class Clamp(_message.Message):
    __slots__ = ("lower", "upper", "unit")
    LOWER_FIELD_NUMBER: _ClassVar[int]
    UPPER_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    lower: float
    upper: float
    unit: StrengthUnit
    def __init__(self, lower: _Optional[float] = ..., upper: _Optional[float] = ..., unit: _Optional[_Union[StrengthUnit, str]] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("include",)
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCEPT_FIELD_NUMBER: _ClassVar[int]
    include: _containers.RepeatedCompositeFieldContainer[ScopeRule]
    def __init__(self, include: _Optional[_Iterable[_Union[ScopeRule, _Mapping]]] = ..., **kwargs) -> None: ...

class ScopeRule(_message.Message):
    __slots__ = ("phase", "positions", "characters", "role", "generated", "last_prompt_token")
    PHASE_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    CHARACTERS_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    GENERATED_FIELD_NUMBER: _ClassVar[int]
    LAST_PROMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    phase: Phase
    positions: Range
    characters: Range
    role: _prompt_pb2.Role
    generated: Range
    last_prompt_token: bool
    def __init__(self, phase: _Optional[_Union[Phase, str]] = ..., positions: _Optional[_Union[Range, _Mapping]] = ..., characters: _Optional[_Union[Range, _Mapping]] = ..., role: _Optional[_Union[_prompt_pb2.Role, str]] = ..., generated: _Optional[_Union[Range, _Mapping]] = ..., last_prompt_token: _Optional[bool] = ...) -> None: ...

class Range(_message.Message):
    __slots__ = ("start", "end")
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    start: int
    end: int
    def __init__(self, start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("concept", "site", "at_least", "at_most", "z_score")
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    SITE_FIELD_NUMBER: _ClassVar[int]
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    Z_SCORE_FIELD_NUMBER: _ClassVar[int]
    concept: str
    site: int
    at_least: float
    at_most: float
    z_score: bool
    def __init__(self, concept: _Optional[str] = ..., site: _Optional[int] = ..., at_least: _Optional[float] = ..., at_most: _Optional[float] = ..., z_score: _Optional[bool] = ...) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("ramp_tokens", "half_life_tokens")
    RAMP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_TOKENS_FIELD_NUMBER: _ClassVar[int]
    ramp_tokens: int
    half_life_tokens: float
    def __init__(self, ramp_tokens: _Optional[int] = ..., half_life_tokens: _Optional[float] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("program_digest", "operations", "cached_tokens", "processed_tokens", "changes")
    PROGRAM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    CACHED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    PROCESSED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    program_digest: str
    operations: _containers.RepeatedCompositeFieldContainer[OperationReceipt]
    cached_tokens: int
    processed_tokens: int
    changes: _containers.RepeatedCompositeFieldContainer[ProgramReceipt]
    def __init__(self, program_digest: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[OperationReceipt, _Mapping]]] = ..., cached_tokens: _Optional[int] = ..., processed_tokens: _Optional[int] = ..., changes: _Optional[_Iterable[_Union[ProgramReceipt, _Mapping]]] = ...) -> None: ...

class ProgramReceipt(_message.Message):
    __slots__ = ("change_id", "policies", "from_position", "to_position", "program_digest", "operations")
    CHANGE_ID_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    FROM_POSITION_FIELD_NUMBER: _ClassVar[int]
    TO_POSITION_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    change_id: str
    policies: _containers.RepeatedScalarFieldContainer[str]
    from_position: int
    to_position: int
    program_digest: str
    operations: _containers.RepeatedCompositeFieldContainer[OperationReceipt]
    def __init__(self, change_id: _Optional[str] = ..., policies: _Optional[_Iterable[str]] = ..., from_position: _Optional[int] = ..., to_position: _Optional[int] = ..., program_digest: _Optional[str] = ..., operations: _Optional[_Iterable[_Union[OperationReceipt, _Mapping]]] = ...) -> None: ...

class OperationReceipt(_message.Message):
    __slots__ = ("concept", "sites", "tokens_in_scope", "gated", "concept_digest")
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    TOKENS_IN_SCOPE_FIELD_NUMBER: _ClassVar[int]
    GATED_FIELD_NUMBER: _ClassVar[int]
    CONCEPT_DIGEST_FIELD_NUMBER: _ClassVar[int]
    concept: str
    sites: _containers.RepeatedCompositeFieldContainer[SiteReceipt]
    tokens_in_scope: int
    gated: bool
    concept_digest: str
    def __init__(self, concept: _Optional[str] = ..., sites: _Optional[_Iterable[_Union[SiteReceipt, _Mapping]]] = ..., tokens_in_scope: _Optional[int] = ..., gated: _Optional[bool] = ..., concept_digest: _Optional[str] = ...) -> None: ...

class SiteReceipt(_message.Message):
    __slots__ = ("site", "tokens", "first_position", "last_position", "length", "dose", "mean_dose", "max_dose")
    SITE_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    FIRST_POSITION_FIELD_NUMBER: _ClassVar[int]
    LAST_POSITION_FIELD_NUMBER: _ClassVar[int]
    LENGTH_FIELD_NUMBER: _ClassVar[int]
    DOSE_FIELD_NUMBER: _ClassVar[int]
    MEAN_DOSE_FIELD_NUMBER: _ClassVar[int]
    MAX_DOSE_FIELD_NUMBER: _ClassVar[int]
    site: int
    tokens: int
    first_position: int
    last_position: int
    length: float
    dose: float
    mean_dose: float
    max_dose: float
    def __init__(self, site: _Optional[int] = ..., tokens: _Optional[int] = ..., first_position: _Optional[int] = ..., last_position: _Optional[int] = ..., length: _Optional[float] = ..., dose: _Optional[float] = ..., mean_dose: _Optional[float] = ..., max_dose: _Optional[float] = ...) -> None: ...
