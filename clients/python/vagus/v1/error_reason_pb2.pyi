from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from typing import ClassVar as _ClassVar

DESCRIPTOR: _descriptor.FileDescriptor

class ErrorReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERROR_REASON_UNSPECIFIED: _ClassVar[ErrorReason]
    ERROR_REASON_PROMPT_EMPTY: _ClassVar[ErrorReason]
    ERROR_REASON_PROMPT_TOO_LONG: _ClassVar[ErrorReason]
    ERROR_REASON_TOKEN_ID_OUT_OF_RANGE: _ClassVar[ErrorReason]
    ERROR_REASON_CHAT_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_FIELD_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_MODEL_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_PACK_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_CONCEPT_NOT_FOUND: _ClassVar[ErrorReason]
    ERROR_REASON_SITE_OUT_OF_RANGE: _ClassVar[ErrorReason]
    ERROR_REASON_TOO_MANY_OPERATIONS: _ClassVar[ErrorReason]
    ERROR_REASON_DOSE_OVER_LIMIT: _ClassVar[ErrorReason]
    ERROR_REASON_NOT_IMPLEMENTED: _ClassVar[ErrorReason]
    ERROR_REASON_REQUEST_ID_IN_USE: _ClassVar[ErrorReason]
    ERROR_REASON_DEADLINE_PASSED: _ClassVar[ErrorReason]
    ERROR_REASON_QUEUE_FULL: _ClassVar[ErrorReason]
    ERROR_REASON_RECEIPT_MISMATCH: _ClassVar[ErrorReason]
    ERROR_REASON_ENGINE_UNAVAILABLE: _ClassVar[ErrorReason]
    ERROR_REASON_INTERNAL: _ClassVar[ErrorReason]
    ERROR_REASON_READOUT_NOT_FINITE: _ClassVar[ErrorReason]
    ERROR_REASON_VECTORS_INVALID: _ClassVar[ErrorReason]
    ERROR_REASON_SITE_NOT_COVERED: _ClassVar[ErrorReason]
    ERROR_REASON_CONCEPT_EXISTS: _ClassVar[ErrorReason]
    ERROR_REASON_VECTOR_BANK_FULL: _ClassVar[ErrorReason]
ERROR_REASON_UNSPECIFIED: ErrorReason
ERROR_REASON_PROMPT_EMPTY: ErrorReason
ERROR_REASON_PROMPT_TOO_LONG: ErrorReason
ERROR_REASON_TOKEN_ID_OUT_OF_RANGE: ErrorReason
ERROR_REASON_CHAT_INVALID: ErrorReason
ERROR_REASON_FIELD_INVALID: ErrorReason
ERROR_REASON_MODEL_NOT_FOUND: ErrorReason
ERROR_REASON_PACK_NOT_FOUND: ErrorReason
ERROR_REASON_CONCEPT_NOT_FOUND: ErrorReason
ERROR_REASON_SITE_OUT_OF_RANGE: ErrorReason
ERROR_REASON_TOO_MANY_OPERATIONS: ErrorReason
ERROR_REASON_DOSE_OVER_LIMIT: ErrorReason
ERROR_REASON_NOT_IMPLEMENTED: ErrorReason
ERROR_REASON_REQUEST_ID_IN_USE: ErrorReason
ERROR_REASON_DEADLINE_PASSED: ErrorReason
ERROR_REASON_QUEUE_FULL: ErrorReason
ERROR_REASON_RECEIPT_MISMATCH: ErrorReason
ERROR_REASON_ENGINE_UNAVAILABLE: ErrorReason
ERROR_REASON_INTERNAL: ErrorReason
ERROR_REASON_READOUT_NOT_FINITE: ErrorReason
ERROR_REASON_VECTORS_INVALID: ErrorReason
ERROR_REASON_SITE_NOT_COVERED: ErrorReason
ERROR_REASON_CONCEPT_EXISTS: ErrorReason
ERROR_REASON_VECTOR_BANK_FULL: ErrorReason
