"""What a soak asks, as bytes on the wire: of the engine without a model, and of the real one."""

from dataclasses import dataclass

from google.protobuf.json_format import ParseDict

from support.good_messages import GOOD
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import readout_service_pb2 as readout

#: A program of each, with scopes and a gate; for the pack's own names.
_CALM = {
    "concept": "calm",
    "add": {"strength": 0.1, "unit": "STRENGTH_UNIT_RESIDUAL"},
    "scope": {"include": [{"phase": "PHASE_GENERATION"}]},
    "envelope": {"rampTokens": 3},
}
_LESS_SAD = {
    "concept": "sad",
    "ablate": {"share": 0.5},
    "gate": {"concept": "happy", "atMost": 1, "zScore": True},
}
_READOUTS = {"names": {"names": ["calm", "sad"]}, "generation": True, "before": True, "after": True}
_CHAT = {"chat": {"messages": [{"role": "ROLE_USER", "content": "How was your day?"}]}}


@dataclass(frozen=True)
class Messages:
    """Serialized requests.

    Args:
        generate: of Generate and StreamGenerate.
        cancelled: a stream that goes on for longer than it is read.
        read: of ReadText.
        conversation: of Converse, a start and a change.
    """

    generate: list[bytes]
    cancelled: bytes
    read: bytes
    conversation: list[bytes]


def for_fake_engine() -> Messages:
    """The good messages of the tests, made short."""
    specs = [m.spec for m in GOOD["Generate"] if not m.spec.sampling.HasField("structure")]
    for spec in specs:
        spec.sampling.max_tokens = 8
    start, change = GOOD["Converse"][0], GOOD["Converse"][-1]
    start.start.CopyFrom(specs[0])
    generate = [generation.GenerateRequest(spec=s).SerializeToString() for s in specs]
    return Messages(
        generate=generate,
        cancelled=generate[0],
        read=GOOD["ReadText"][0].SerializeToString(),
        conversation=[start.SerializeToString(), change.SerializeToString()],
    )


def for_real_engine() -> Messages:
    """Plain, steered and read requests of a few tokens."""
    specs: list[dict[str, object]] = [
        {"prompt": {"text": "The letter lay on"}, "sampling": {"maxTokens": 3}},
        {"prompt": _CHAT, "sampling": {"maxTokens": 2}, "program": {"operations": [_CALM]}},
        {
            "prompt": {"text": "Once upon a time"},
            "sampling": {"maxTokens": 3, "temperature": 0.7},
            "program": {"operations": [_CALM, _LESS_SAD]},
            "readouts": _READOUTS | {"prompt": True},
        },
        {
            "prompt": _CHAT,
            "sampling": {"maxTokens": 2},
            "readouts": {"topK": 5, "generation": True},
        },
    ]
    generate = [ParseDict({"spec": s}, generation.GenerateRequest()) for s in specs]
    cancelled = generation.GenerateRequest(spec=generate[1].spec)
    cancelled.spec.sampling.max_tokens = 200
    change = {"id": "1", "program": {"operations": [_LESS_SAD]}}
    read = {
        "inputs": [{"text": "They are late."}, _CHAT],
        "readouts": {"topK": 2, "prompt": True},
        "program": {"operations": [_LESS_SAD]},
    }
    return Messages(
        generate=[m.SerializeToString() for m in generate],
        cancelled=cancelled.SerializeToString(),
        read=ParseDict(read, readout.ReadTextRequest()).SerializeToString(),
        conversation=[
            generation.ConverseRequest(start=generate[1].spec).SerializeToString(),
            ParseDict({"change": change}, generation.ConverseRequest()).SerializeToString(),
        ],
    )
