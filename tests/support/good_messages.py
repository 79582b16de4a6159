"""Messages that the small pack's server answers, of every call and with every part of the API."""

from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from vagus.v1 import concept_service_pb2 as concept_pb
from vagus.v1 import generation_service_pb2 as generation_pb
from vagus.v1 import model_service_pb2 as model_pb
from vagus.v1 import policy_service_pb2 as policy_pb
from vagus.v1 import readout_service_pb2 as readout_pb

_CHAT = {
    "chat": {
        "messages": [
            {"role": "ROLE_SYSTEM", "content": "Be kind."},
            {"role": "ROLE_USER", "content": "My exam is tomorrow."},
        ]
    }
}
_OPERATIONS = [
    {
        "concept": "calm",
        "add": {"strength": 0.1, "unit": "STRENGTH_UNIT_RESIDUAL"},
        "scope": {"include": [{"phase": "PHASE_GENERATION"}, {"role": "ROLE_USER"}]},
        "envelope": {"rampTokens": 3, "halfLifeTokens": 10},
    },
    {
        "concept": "sad",
        "sites": [0, 2],
        "clamp": {"lower": -0.05, "upper": 0.05, "unit": "STRENGTH_UNIT_ABSOLUTE"},
        "gate": {"concept": "happy", "site": 0, "atLeast": -1, "zScore": True},
    },
    {
        "concept": "happy",
        "ablate": {"share": 0.5},
        "scope": {
            "include": [{"positions": {"start": 2}}],
            "except": [{"generated": {"end": 2}}, {"lastPromptToken": True}],
        },
    },
    {
        "inline": {"vectors": [{"site": 1, "values": [1, 0, 0, 0, 0, 0, 0, 2]}]},
        "sites": [1],
        "set": {"value": 0.1, "unit": "STRENGTH_UNIT_VECTOR"},
    },
]
_READOUTS = {
    "names": {"names": ["calm", "sad"]},
    "generation": True,
    "before": True,
    "after": True,
    "raw": True,
    "zScore": True,
}
_SPECS = [
    {"prompt": {"text": "hello"}, "sampling": {"maxTokens": 5}},
    {
        "prompt": _CHAT,
        "sampling": {"maxTokens": 20, "temperature": 0.7, "topK": 5, "stop": ["zz"], "logprobs": 1},
        "program": {"operations": _OPERATIONS},
        "readouts": _READOUTS | {"prompt": True},
    },
    {
        "prompt": {"tokenIds": {"ids": [1, 2, 3]}},
        "sampling": {"maxTokens": 200, "structure": {"choices": {"texts": ["yes", "no"]}}},
    },
    {
        "prompt": {"text": "hello"},
        "sampling": {"structure": {"jsonSchema": '{"type": "object"}'}},
        "readouts": {"topK": 2, "generation": True},
    },
    {"prompt": {"text": "hello"}, "sampling": {"structure": {"regex": "[a-z]+"}}},
]
_CHANGES = [
    {"id": "1", "program": {"operations": _OPERATIONS[1:]}},
    {"id": "2", "readouts": {"topK": 1, "generation": True}},
    {"id": "3", "stopReading": True, "program": {}},
]


def _of(message: Message, *contents: dict[str, object]) -> list[Message]:
    return [ParseDict(content, type(message)()) for content in contents]


GOOD: dict[str, list[Message]] = {
    "Generate": _of(generation_pb.GenerateRequest(), *({"spec": s} for s in _SPECS)),
    "StreamGenerate": _of(generation_pb.StreamGenerateRequest(), *({"spec": s} for s in _SPECS)),
    "Converse": _of(
        generation_pb.ConverseRequest(),
        *({"start": s} for s in _SPECS),
        *({"change": c} for c in _CHANGES),
    ),
    "ReadText": _of(
        readout_pb.ReadTextRequest(),
        {
            "inputs": [_CHAT, _CHAT],
            "program": {"operations": _OPERATIONS[:3]},
            "readouts": {"topK": 2, "prompt": True},
            "logprobs": True,
        },
        {"inputs": [{"text": "a"}], "readouts": {"lastPromptToken": True}},
    ),
    "ListConcepts": _of(concept_pb.ListConceptsRequest(), {"pageSize": 2}),
    "GetConcept": _of(concept_pb.GetConceptRequest(), {"name": "calm", "includeVectors": True}),
    "ListPacks": _of(concept_pb.ListPacksRequest(), {}),
    "GetPack": _of(concept_pb.GetPackRequest(), {"name": "small"}),
    "UploadConcept": _of(
        concept_pb.UploadConceptRequest(),
        {"metadata": {"name": "own", "modelFingerprint": "0" * 32, "sites": [1], "replace": True}},
        {"chunk": ""},
    ),
    "DeleteConcept": _of(concept_pb.DeleteConceptRequest(), {"name": "own"}),
    "ListModels": _of(model_pb.ListModelsRequest(), {}),
    "GetModel": _of(model_pb.GetModelRequest(), {"name": "fake"}),
    "ListPolicies": _of(policy_pb.ListPoliciesRequest(), {}),
}
