from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PolicyEventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLICY_EVENT_KIND_UNSPECIFIED: _ClassVar[PolicyEventKind]
    POLICY_EVENT_KIND_BEGAN: _ClassVar[PolicyEventKind]
    POLICY_EVENT_KIND_CEASED: _ClassVar[PolicyEventKind]
    POLICY_EVENT_KIND_STOPPED: _ClassVar[PolicyEventKind]
POLICY_EVENT_KIND_UNSPECIFIED: PolicyEventKind
POLICY_EVENT_KIND_BEGAN: PolicyEventKind
POLICY_EVENT_KIND_CEASED: PolicyEventKind
POLICY_EVENT_KIND_STOPPED: PolicyEventKind

class Policy(_message.Message):
    __slots__ = ("name", "description", "trigger", "severity", "every_request", "steering", "stops")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    TRIGGER_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    EVERY_REQUEST_FIELD_NUMBER: _ClassVar[int]
    STEERING_FIELD_NUMBER: _ClassVar[int]
    STOPS_FIELD_NUMBER: _ClassVar[int]
    name: str
    description: str
    trigger: Trigger
    severity: str
    every_request: bool
    steering: _containers.RepeatedCompositeFieldContainer[PolicySteering]
    stops: bool
    def __init__(self, name: _Optional[str] = ..., description: _Optional[str] = ..., trigger: _Optional[_Union[Trigger, _Mapping]] = ..., severity: _Optional[str] = ..., every_request: _Optional[bool] = ..., steering: _Optional[_Iterable[_Union[PolicySteering, _Mapping]]] = ..., stops: _Optional[bool] = ...) -> None: ...

class Trigger(_message.Message):
    __slots__ = ("concept", "begin_z", "cease_z", "below", "smoothing_tokens", "after_tokens")
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    BEGIN_Z_FIELD_NUMBER: _ClassVar[int]
    CEASE_Z_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_TOKENS_FIELD_NUMBER: _ClassVar[int]
    AFTER_TOKENS_FIELD_NUMBER: _ClassVar[int]
    concept: str
    begin_z: float
    cease_z: float
    below: bool
    smoothing_tokens: int
    after_tokens: int
    def __init__(self, concept: _Optional[str] = ..., begin_z: _Optional[float] = ..., cease_z: _Optional[float] = ..., below: _Optional[bool] = ..., smoothing_tokens: _Optional[int] = ..., after_tokens: _Optional[int] = ...) -> None: ...

class PolicySteering(_message.Message):
    __slots__ = ("concept", "sites", "dose", "ramp_tokens")
    CONCEPT_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    DOSE_FIELD_NUMBER: _ClassVar[int]
    RAMP_TOKENS_FIELD_NUMBER: _ClassVar[int]
    concept: str
    sites: _containers.RepeatedScalarFieldContainer[int]
    dose: float
    ramp_tokens: int
    def __init__(self, concept: _Optional[str] = ..., sites: _Optional[_Iterable[int]] = ..., dose: _Optional[float] = ..., ramp_tokens: _Optional[int] = ...) -> None: ...

class PolicyEvent(_message.Message):
    __slots__ = ("policy", "kind", "position", "value", "severity")
    POLICY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    policy: str
    kind: PolicyEventKind
    position: int
    value: float
    severity: str
    def __init__(self, policy: _Optional[str] = ..., kind: _Optional[_Union[PolicyEventKind, str]] = ..., position: _Optional[int] = ..., value: _Optional[float] = ..., severity: _Optional[str] = ...) -> None: ...
