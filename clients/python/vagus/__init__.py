"""Client of Vagus, an inference server that steers and reads emotion concepts.

Example:
    from vagus import Client, add

    with Client("localhost:50051") as client:
        print(client.generate("Hello", program=[add("calm", 0.3)]).text)

`AsyncClient` is the same for asyncio.
"""

from vagus._async_client import AsyncClient
from vagus._async_stream import AsyncStream
from vagus._change import Change
from vagus._client import Client
from vagus._conversation import AsyncConversation, Conversation
from vagus._errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ReceiptMismatch,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
    Unknown,
    VagusError,
)
from vagus._operation import Envelope, Gate, Operation, Program, ablate, add, clamp, set_
from vagus._policy import PolicyEvent
from vagus._prompt import Chat, Message, PromptLike
from vagus._readout import Readout, SiteReadout, TokenReadout, TurnReadout
from vagus._receipt import verify_receipt
from vagus._request import GenerateOptions
from vagus._result import Event, FinishReason, HealthStatus, Reading, Result, Token
from vagus._sampling import SamplingOptions
from vagus._scope import Characters, Generated, Positions, Scope, Turns
from vagus._selection import Readouts, ReadoutsLike
from vagus._stream import Stream
from vagus._vectors import UploadOptions, Vectors, VectorsLike
from vagus._version import __version__
from vagus.v1.concept_service_pb2 import Concept, Pack
from vagus.v1.generation_service_pb2 import TokenLogprob, Usage
from vagus.v1.model_service_pb2 import Model
from vagus.v1.policy_pb2 import Policy
from vagus.v1.steering_pb2 import Receipt

__all__ = [
    "Aborted",
    "AlreadyExists",
    "AsyncClient",
    "AsyncConversation",
    "AsyncStream",
    "Cancelled",
    "Change",
    "Characters",
    "Chat",
    "Client",
    "Concept",
    "Conversation",
    "DataLoss",
    "DeadlineExceeded",
    "Envelope",
    "Event",
    "FailedPrecondition",
    "FinishReason",
    "Gate",
    "GenerateOptions",
    "Generated",
    "HealthStatus",
    "Internal",
    "InvalidArgument",
    "Message",
    "Model",
    "NotFound",
    "Operation",
    "OutOfRange",
    "Pack",
    "PermissionDenied",
    "Policy",
    "PolicyEvent",
    "Positions",
    "Program",
    "PromptLike",
    "Reading",
    "Readout",
    "Readouts",
    "ReadoutsLike",
    "Receipt",
    "ReceiptMismatch",
    "ResourceExhausted",
    "Result",
    "SamplingOptions",
    "Scope",
    "SiteReadout",
    "Stream",
    "Token",
    "TokenLogprob",
    "TokenReadout",
    "TurnReadout",
    "Turns",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Unknown",
    "UploadOptions",
    "Usage",
    "VagusError",
    "Vectors",
    "VectorsLike",
    "__version__",
    "ablate",
    "add",
    "clamp",
    "set_",
    "verify_receipt",
]
