from vagus.v1 import policy_pb2 as _policy_pb2
from vagus.v1 import prompt_pb2 as _prompt_pb2
from vagus.v1 import readout_pb2 as _readout_pb2
from vagus.v1 import sampling_pb2 as _sampling_pb2
from vagus.v1 import steering_pb2 as _steering_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FinishReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FINISH_REASON_UNSPECIFIED: _ClassVar[FinishReason]
    FINISH_REASON_STOP: _ClassVar[FinishReason]
    FINISH_REASON_LENGTH: _ClassVar[FinishReason]
    FINISH_REASON_POLICY: _ClassVar[FinishReason]
FINISH_REASON_UNSPECIFIED: FinishReason
FINISH_REASON_STOP: FinishReason
FINISH_REASON_LENGTH: FinishReason
FINISH_REASON_POLICY: FinishReason

class GenerationSpec(_message.Message):
    __slots__ = ("model", "prompt", "sampling", "program", "readouts", "pack", "request_id", "policies")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    READOUTS_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    POLICIES_FIELD_NUMBER: _ClassVar[int]
    model: str
    prompt: _prompt_pb2.Prompt
    sampling: _sampling_pb2.Sampling
    program: _steering_pb2.Program
    readouts: _readout_pb2.ReadoutSelection
    pack: str
    request_id: str
    policies: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, model: _Optional[str] = ..., prompt: _Optional[_Union[_prompt_pb2.Prompt, _Mapping]] = ..., sampling: _Optional[_Union[_sampling_pb2.Sampling, _Mapping]] = ..., program: _Optional[_Union[_steering_pb2.Program, _Mapping]] = ..., readouts: _Optional[_Union[_readout_pb2.ReadoutSelection, _Mapping]] = ..., pack: _Optional[str] = ..., request_id: _Optional[str] = ..., policies: _Optional[_Iterable[str]] = ...) -> None: ...

class GenerateRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: GenerationSpec
    def __init__(self, spec: _Optional[_Union[GenerationSpec, _Mapping]] = ...) -> None: ...

class GenerateResponse(_message.Message):
    __slots__ = ("text", "tokens", "layout", "prompt_readouts", "finish", "policy_events", "others")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_READOUTS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    POLICY_EVENTS_FIELD_NUMBER: _ClassVar[int]
    OTHERS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedCompositeFieldContainer[GeneratedToken]
    layout: _readout_pb2.ReadoutLayout
    prompt_readouts: _containers.RepeatedCompositeFieldContainer[_readout_pb2.TokenReadout]
    finish: Finish
    policy_events: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyEvent]
    others: _containers.RepeatedCompositeFieldContainer[Continuation]
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[GeneratedToken, _Mapping]]] = ..., layout: _Optional[_Union[_readout_pb2.ReadoutLayout, _Mapping]] = ..., prompt_readouts: _Optional[_Iterable[_Union[_readout_pb2.TokenReadout, _Mapping]]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., policy_events: _Optional[_Iterable[_Union[_policy_pb2.PolicyEvent, _Mapping]]] = ..., others: _Optional[_Iterable[_Union[Continuation, _Mapping]]] = ...) -> None: ...

class Continuation(_message.Message):
    __slots__ = ("text", "tokens", "finish", "policy_events")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    POLICY_EVENTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedCompositeFieldContainer[GeneratedToken]
    finish: Finish
    policy_events: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyEvent]
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[GeneratedToken, _Mapping]]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., policy_events: _Optional[_Iterable[_Union[_policy_pb2.PolicyEvent, _Mapping]]] = ...) -> None: ...

class StreamGenerateRequest(_message.Message):
    __slots__ = ("spec",)
    SPEC_FIELD_NUMBER: _ClassVar[int]
    spec: GenerationSpec
    def __init__(self, spec: _Optional[_Union[GenerationSpec, _Mapping]] = ...) -> None: ...

class StreamGenerateResponse(_message.Message):
    __slots__ = ("text", "tokens", "layout", "prompt_readouts", "finish", "index", "policy_events")
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_READOUTS_FIELD_NUMBER: _ClassVar[int]
    FINISH_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    POLICY_EVENTS_FIELD_NUMBER: _ClassVar[int]
    text: str
    tokens: _containers.RepeatedCompositeFieldContainer[GeneratedToken]
    layout: _readout_pb2.ReadoutLayout
    prompt_readouts: _containers.RepeatedCompositeFieldContainer[_readout_pb2.TokenReadout]
    finish: Finish
    index: int
    policy_events: _containers.RepeatedCompositeFieldContainer[_policy_pb2.PolicyEvent]
    def __init__(self, text: _Optional[str] = ..., tokens: _Optional[_Iterable[_Union[GeneratedToken, _Mapping]]] = ..., layout: _Optional[_Union[_readout_pb2.ReadoutLayout, _Mapping]] = ..., prompt_readouts: _Optional[_Iterable[_Union[_readout_pb2.TokenReadout, _Mapping]]] = ..., finish: _Optional[_Union[Finish, _Mapping]] = ..., index: _Optional[int] = ..., policy_events: _Optional[_Iterable[_Union[_policy_pb2.PolicyEvent, _Mapping]]] = ...) -> None: ...

class ConverseRequest(_message.Message):
    __slots__ = ("start", "change")
    START_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    start: GenerationSpec
    change: Change
    def __init__(self, start: _Optional[_Union[GenerationSpec, _Mapping]] = ..., change: _Optional[_Union[Change, _Mapping]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("id", "program", "readouts", "stop_reading")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    READOUTS_FIELD_NUMBER: _ClassVar[int]
    STOP_READING_FIELD_NUMBER: _ClassVar[int]
    id: str
    program: _steering_pb2.Program
    readouts: _readout_pb2.ReadoutSelection
    stop_reading: bool
    def __init__(self, id: _Optional[str] = ..., program: _Optional[_Union[_steering_pb2.Program, _Mapping]] = ..., readouts: _Optional[_Union[_readout_pb2.ReadoutSelection, _Mapping]] = ..., stop_reading: _Optional[bool] = ...) -> None: ...

class ConverseResponse(_message.Message):
    __slots__ = ("output", "changed")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    output: StreamGenerateResponse
    changed: Changed
    def __init__(self, output: _Optional[_Union[StreamGenerateResponse, _Mapping]] = ..., changed: _Optional[_Union[Changed, _Mapping]] = ...) -> None: ...

class Changed(_message.Message):
    __slots__ = ("id", "program_from", "program_digest", "readouts_from", "refusal")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FROM_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_DIGEST_FIELD_NUMBER: _ClassVar[int]
    READOUTS_FROM_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    id: str
    program_from: int
    program_digest: str
    readouts_from: int
    refusal: Refusal
    def __init__(self, id: _Optional[str] = ..., program_from: _Optional[int] = ..., program_digest: _Optional[str] = ..., readouts_from: _Optional[int] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "reason", "message", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GeneratedToken(_message.Message):
    __slots__ = ("id", "text", "readout", "logprob", "top_logprobs")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    READOUT_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    TOP_LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    readout: _readout_pb2.TokenReadout
    logprob: float
    top_logprobs: _containers.RepeatedCompositeFieldContainer[TokenLogprob]
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ..., readout: _Optional[_Union[_readout_pb2.TokenReadout, _Mapping]] = ..., logprob: _Optional[float] = ..., top_logprobs: _Optional[_Iterable[_Union[TokenLogprob, _Mapping]]] = ...) -> None: ...

class TokenLogprob(_message.Message):
    __slots__ = ("id", "text", "logprob")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    logprob: float
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ..., logprob: _Optional[float] = ...) -> None: ...

class Finish(_message.Message):
    __slots__ = ("reason", "stop", "stop_token_id", "usage", "receipt", "turn", "policy")
    REASON_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    STOP_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    TURN_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    reason: FinishReason
    stop: str
    stop_token_id: int
    usage: Usage
    receipt: _steering_pb2.Receipt
    turn: _readout_pb2.TurnReadout
    policy: str
    def __init__(self, reason: _Optional[_Union[FinishReason, str]] = ..., stop: _Optional[str] = ..., stop_token_id: _Optional[int] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., receipt: _Optional[_Union[_steering_pb2.Receipt, _Mapping]] = ..., turn: _Optional[_Union[_readout_pb2.TurnReadout, _Mapping]] = ..., policy: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("prompt_tokens", "cached_prompt_tokens", "generated_tokens")
    PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    CACHED_PROMPT_TOKENS_FIELD_NUMBER: _ClassVar[int]
    GENERATED_TOKENS_FIELD_NUMBER: _ClassVar[int]
    prompt_tokens: int
    cached_prompt_tokens: int
    generated_tokens: int
    def __init__(self, prompt_tokens: _Optional[int] = ..., cached_prompt_tokens: _Optional[int] = ..., generated_tokens: _Optional[int] = ...) -> None: ...
