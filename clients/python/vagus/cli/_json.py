"""The machine-readable forms of results."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import typer
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from vagus._readout import Readout
from vagus._result import Reading, Result, Token


def print_json(value: object) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def message_json(message: Message) -> dict[str, Any]:
    """A proto message, with the names of its fields as keys."""
    return MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def result_json(result: Result) -> dict[str, object]:
    """A generation. Readouts are z-scores at the first site that was read."""
    return {
        "text": result.text,
        "finish_reason": result.finish_reason,
        "policy": result.policy,
        "policy_events": [asdict(event) for event in result.policy_events],
        "usage": message_json(result.usage),
        "turn_mean": _z(result.turn),
        "tokens": [_token_json(token) for token in result.tokens],
        "receipt": message_json(result.receipt) if result.receipt else None,
        "pack_digest": result.pack_digest,
        "request_id": result.request_id,
    }


def reading_json(reading: Reading) -> dict[str, object]:
    """The readouts of a text, as z-scores."""
    return {
        "token_count": reading.token_count,
        "mean": _z(reading.mean),
        "tokens": [_token_json(token) for token in reading.tokens],
        "pack_digest": reading.pack_digest,
    }


def _token_json(token: Token) -> dict[str, object]:
    return {"id": token.id, "text": token.text, "z": _z(token.readout)}


def _z(readout: Readout | None) -> Mapping[str, float]:
    # Seven digits are all that a float32 holds.
    return {name: float(f"{z:.7g}") for name, z in readout.z.items()} if readout else {}
