"""Requests that differ from a good one in the one thing that they say."""

from typing import Any

import grpc
from google.protobuf.message import Message

from support.calls import RESIDUAL, add, spec
from support.refusals import Refused, refused
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import readout_service_pb2 as readout
from vagus.v1 import steering_pb2
from vagus.v1.prompt_pb2 import Chat, ChatMessage, Prompt
from vagus.v1.readout_pb2 import ConceptNames, ReadoutSelection
from vagus.v1.steering_pb2 import Add, Operation, ScopeRule

PROMPT = "The kettle was on"


def steer(*operations: Operation) -> generation.GenerationSpec:
    return spec(PROMPT, *operations)


def strength(value: float, unit: int = RESIDUAL) -> generation.GenerationSpec:
    return steer(add("calm", value, unit=unit))


def calm(**fields: Any) -> generation.GenerationSpec:
    return steer(Operation(concept="calm", **fields))


def added(**fields: Any) -> generation.GenerationSpec:
    return calm(add=Add(strength=0.1, unit=RESIDUAL), **fields)


def scoped(**rule: Any) -> generation.GenerationSpec:
    return added(scope=steering_pb2.Scope(include=[ScopeRule(**rule)]))


def sample(**fields: Any) -> generation.GenerationSpec:
    return spec(PROMPT, **fields)


def asking(**fields: Any) -> generation.GenerationSpec:
    message = spec(PROMPT)
    message.MergeFrom(generation.GenerationSpec(**fields))
    return message


def prompt(**form: Any) -> generation.GenerationSpec:
    return generation.GenerationSpec(prompt=Prompt(**form))


def chat(*messages: tuple[int, str]) -> generation.GenerationSpec:
    return prompt(chat=Chat(messages=[ChatMessage(role=r, content=c) for r, c in messages]))


def reading(**fields: Any) -> generation.GenerationSpec:
    return spec(PROMPT, readouts=ReadoutSelection(**fields))


def naming(*names: str) -> generation.GenerationSpec:
    return reading(generation=True, names=ConceptNames(names=names))


def read_text(*texts: str, **fields: Any) -> readout.ReadTextRequest:
    return readout.ReadTextRequest(inputs=[Prompt(text=text) for text in texts], **fields)


def callers(message: Message) -> list[str]:
    """The methods that take a message, with a generation request in both of its envelopes."""
    return {
        "GenerationSpec": ["Generation/Generate", "Generation/StreamGenerate"],
        "ReadTextRequest": ["Readout/ReadText"],
        "GetConceptRequest": ["Concept/GetConcept"],
        "ListConceptsRequest": ["Concept/ListConcepts"],
        "GetPackRequest": ["Concept/GetPack"],
        "GetModelRequest": ["Model/GetModel"],
    }[message.DESCRIPTOR.name]


def call_bytes(channel: grpc.Channel, method: str, data: bytes, **options: Any) -> Any:
    """Calls a method with these bytes; returns the answer's."""
    service, name = method.split("/")
    path = f"/vagus.v1.{service}Service/{name}"
    options = {"timeout": 120} | options
    if name == "StreamGenerate":
        return b"".join(channel.unary_stream(path)(data, **options))
    return channel.unary_unary(path)(data, **options)


def refusals(channel: grpc.Channel, message: Message, **options: Any) -> list[Refused]:
    """How each method that takes the message refuses it."""
    result = []
    for method in callers(message):
        data = message.SerializeToString()
        if isinstance(message, generation.GenerationSpec):
            data = generation.GenerateRequest(spec=message).SerializeToString()
        result.append(refused(lambda: call_bytes(channel, method, data, **options)))  # noqa: B023
    return result
