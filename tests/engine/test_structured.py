"""Structured outputs beside steering and readouts, on the V1 runner.

The V2 runner copies its masks on a CUDA stream, so it has none on a CPU.
"""

import json
import re
from typing import Any

import pytest

from support.calls import EVERYTHING, add, generate, ids, rows, spec
from support.reference import Reference
from vagus.v1.sampling_pb2 import Choices, Structure

pytestmark = pytest.mark.engine

#: No object: this model would fill it with blanks, which JSON allows.
SCHEMA = json.dumps({"type": "string", "enum": ["calm and well", "afraid of everything"]})
STRUCTURES = {
    "schema": Structure(json_schema=SCHEMA),
    "regex": Structure(regex=r"[A-Z][a-z]{2,5}, [0-9]{3}"),
    "choices": Structure(choices=Choices(texts=["certainly not", "perhaps"])),
}


def matches(kind: str, text: str) -> bool:
    if kind == "schema":
        return json.loads(text) in ("calm and well", "afraid of everything")
    if kind == "regex":
        return re.fullmatch(r"[A-Z][a-z]{2,5}, [0-9]{3}", text) is not None
    return text in ("certainly not", "perhaps")


@pytest.mark.parametrize("kind", STRUCTURES)
def test_structured_text_is_steered_and_read(kind: str, server: Any, reference: Reference) -> None:
    prompt = reference.tokenizer.encode("How does she feel, from 1 to 9? Answer:")
    operation = add("desperate", 0.3, (15,))
    asked = spec(
        prompt,
        operation,
        readouts=EVERYTHING,
        max_tokens=60,
        ignore_eos=False,
        structure=STRUCTURES[kind],
    )
    response = generate(server.channel, asked)
    assert matches(kind, response.text), response.text
    tokens = len(prompt) + len(ids(response)) - 1
    assert sorted(rows(response)) == list(range(tokens))
    assert response.finish.receipt.operations[0].sites[0].tokens == tokens
    expected = reference.run(prompt + ids(response), reference.program(operation, prompt=prompt))
    for position, row in rows(response).items():
        error = abs(row - expected.rows[position]).max() / expected.norms[position]
        assert error < 1e-4, position
