from vagus.v1 import steering_pb2 as _steering_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[Model]
    def __init__(self, models: _Optional[_Iterable[_Union[Model, _Mapping]]] = ...) -> None: ...

class GetModelRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetModelResponse(_message.Message):
    __slots__ = ("model",)
    MODEL_FIELD_NUMBER: _ClassVar[int]
    model: Model
    def __init__(self, model: _Optional[_Union[Model, _Mapping]] = ...) -> None: ...

class Model(_message.Message):
    __slots__ = ("name", "architecture", "sites", "hidden_size", "max_model_len", "dtype", "vocabulary_size", "chat_template", "readout_sites", "capabilities", "packs", "runtime", "fingerprint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ARCHITECTURE_FIELD_NUMBER: _ClassVar[int]
    SITES_FIELD_NUMBER: _ClassVar[int]
    HIDDEN_SIZE_FIELD_NUMBER: _ClassVar[int]
    MAX_MODEL_LEN_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    VOCABULARY_SIZE_FIELD_NUMBER: _ClassVar[int]
    CHAT_TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    READOUT_SITES_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    PACKS_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    architecture: str
    sites: int
    hidden_size: int
    max_model_len: int
    dtype: str
    vocabulary_size: int
    chat_template: bool
    readout_sites: _containers.RepeatedScalarFieldContainer[int]
    capabilities: Capabilities
    packs: _containers.RepeatedScalarFieldContainer[str]
    runtime: Runtime
    fingerprint: str
    def __init__(self, name: _Optional[str] = ..., architecture: _Optional[str] = ..., sites: _Optional[int] = ..., hidden_size: _Optional[int] = ..., max_model_len: _Optional[int] = ..., dtype: _Optional[str] = ..., vocabulary_size: _Optional[int] = ..., chat_template: _Optional[bool] = ..., readout_sites: _Optional[_Iterable[int]] = ..., capabilities: _Optional[_Union[Capabilities, _Mapping]] = ..., packs: _Optional[_Iterable[str]] = ..., runtime: _Optional[_Union[Runtime, _Mapping]] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class Capabilities(_message.Message):
    __slots__ = ("actions", "scope_rules", "units", "max_operations", "max_programs", "max_vectors", "max_dose", "max_running_requests")
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_RULES_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    MAX_OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_PROGRAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_VECTORS_FIELD_NUMBER: _ClassVar[int]
    MAX_DOSE_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    actions: _containers.RepeatedScalarFieldContainer[str]
    scope_rules: _containers.RepeatedScalarFieldContainer[str]
    units: _containers.RepeatedScalarFieldContainer[_steering_pb2.StrengthUnit]
    max_operations: int
    max_programs: int
    max_vectors: int
    max_dose: float
    max_running_requests: int
    def __init__(self, actions: _Optional[_Iterable[str]] = ..., scope_rules: _Optional[_Iterable[str]] = ..., units: _Optional[_Iterable[_Union[_steering_pb2.StrengthUnit, str]]] = ..., max_operations: _Optional[int] = ..., max_programs: _Optional[int] = ..., max_vectors: _Optional[int] = ..., max_dose: _Optional[float] = ..., max_running_requests: _Optional[int] = ...) -> None: ...

class Runtime(_message.Message):
    __slots__ = ("version", "vllm_version", "model_runner", "platform", "compilation_mode", "site_installation", "fingerprint")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    VLLM_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_RUNNER_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    COMPILATION_MODE_FIELD_NUMBER: _ClassVar[int]
    SITE_INSTALLATION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    version: str
    vllm_version: str
    model_runner: int
    platform: str
    compilation_mode: str
    site_installation: _containers.RepeatedScalarFieldContainer[str]
    fingerprint: str
    def __init__(self, version: _Optional[str] = ..., vllm_version: _Optional[str] = ..., model_runner: _Optional[int] = ..., platform: _Optional[str] = ..., compilation_mode: _Optional[str] = ..., site_installation: _Optional[_Iterable[str]] = ..., fingerprint: _Optional[str] = ...) -> None: ...
