from vagus.v1 import prompt_pb2 as _prompt_pb2
from vagus.v1 import readout_pb2 as _readout_pb2
from vagus.v1 import steering_pb2 as _steering_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ReadTextRequest(_message.Message):
    __slots__ = ("model", "inputs", "readouts", "program", "pack", "request_id", "logprobs")
    MODEL_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    READOUTS_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    PACK_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    LOGPROBS_FIELD_NUMBER: _ClassVar[int]
    model: str
    inputs: _containers.RepeatedCompositeFieldContainer[_prompt_pb2.Prompt]
    readouts: _readout_pb2.ReadoutSelection
    program: _steering_pb2.Program
    pack: str
    request_id: str
    logprobs: bool
    def __init__(self, model: _Optional[str] = ..., inputs: _Optional[_Iterable[_Union[_prompt_pb2.Prompt, _Mapping]]] = ..., readouts: _Optional[_Union[_readout_pb2.ReadoutSelection, _Mapping]] = ..., program: _Optional[_Union[_steering_pb2.Program, _Mapping]] = ..., pack: _Optional[str] = ..., request_id: _Optional[str] = ..., logprobs: _Optional[bool] = ...) -> None: ...

class ReadTextResponse(_message.Message):
    __slots__ = ("layout", "results")
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    layout: _readout_pb2.ReadoutLayout
    results: _containers.RepeatedCompositeFieldContainer[TextReadout]
    def __init__(self, layout: _Optional[_Union[_readout_pb2.ReadoutLayout, _Mapping]] = ..., results: _Optional[_Iterable[_Union[TextReadout, _Mapping]]] = ...) -> None: ...

class TextReadout(_message.Message):
    __slots__ = ("tokens", "mean", "token_count", "receipt")
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_COUNT_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[ReadToken]
    mean: _readout_pb2.TurnReadout
    token_count: int
    receipt: _steering_pb2.Receipt
    def __init__(self, tokens: _Optional[_Iterable[_Union[ReadToken, _Mapping]]] = ..., mean: _Optional[_Union[_readout_pb2.TurnReadout, _Mapping]] = ..., token_count: _Optional[int] = ..., receipt: _Optional[_Union[_steering_pb2.Receipt, _Mapping]] = ...) -> None: ...

class ReadToken(_message.Message):
    __slots__ = ("id", "text", "readout", "logprob")
    ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    READOUT_FIELD_NUMBER: _ClassVar[int]
    LOGPROB_FIELD_NUMBER: _ClassVar[int]
    id: int
    text: str
    readout: _readout_pb2.TokenReadout
    logprob: float
    def __init__(self, id: _Optional[int] = ..., text: _Optional[str] = ..., readout: _Optional[_Union[_readout_pb2.TokenReadout, _Mapping]] = ..., logprob: _Optional[float] = ...) -> None: ...
