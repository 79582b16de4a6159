"""The server against Hugging Face with plain hooks: tokens and readouts of whole programs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from support.calls import ABSOLUTE, EVERYTHING, VECTOR, add, generate, ids, rows, spec
from support.reference import Addition, Reference
from vagus.v1 import steering_pb2

pytestmark = pytest.mark.engine

PROMPT = "The letter lay on the kitchen table. She read it twice, then"
TOKENS = 64
#: float32 sums over 576 columns and 30 layers in another order than Hugging Face's.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Step:
    """One ADD of a program: what the request says of it."""

    concept: str
    strength: float
    sites: tuple[int, ...]
    unit: int = steering_pb2.STRENGTH_UNIT_RESIDUAL
    phase: str = "all"


CASES = {
    "nothing": [],
    "one concept, one site": [Step("desperate", 0.3, (15,))],
    "several concepts": [Step("calm", 0.2, (15,)), Step("angry", -0.15, (15,))],
    "many sites": [Step("happy", 0.05, tuple(range(10, 20)))],
    "first and last site": [Step("afraid", 0.2, (0,)), Step("sad", 0.2, (29,))],
    "prompt": [Step("desperate", 0.4, (12,), phase="prompt")],
    "generation": [Step("desperate", 0.4, (12,), phase="generation")],
    "vector unit": [Step("loving", 2.0, (15, 19), VECTOR)],
    "absolute unit": [Step("calm", 15.0, (14,), ABSOLUTE)],
    "eight mixed operations": [
        Step("calm", 0.05, (10, 19), phase="prompt"),
        Step("desperate", 0.05, (10,), phase="generation"),
        Step("happy", -0.05, (19,)),
        Step("sad", 3.0, (8,), ABSOLUTE),
        Step("angry", 0.5, (12,), VECTOR, "generation"),
        Step("afraid", 0.05, (15,), phase="prompt"),
        Step("proud", 0.05, (15, 16, 17)),
        Step("guilty", -0.1, (20,)),
    ],
}


def additions(steps: list[Step], reference: Reference, prompt_tokens: int) -> list[Addition]:
    """The same program as vectors, by the definitions of the units."""
    scopes = {
        "all": lambda p: True,
        "prompt": lambda p: p < prompt_tokens,
        "generation": lambda p: p >= prompt_tokens,
    }
    result = []
    for step in steps:
        for site in step.sites:
            length = step.strength
            if step.unit == VECTOR:
                length *= np.linalg.norm(reference.vectors[reference.index[step.concept], site])
            elif step.unit != ABSOLUTE:
                length *= reference.residual_norms[site]
            vector = length * reference.unit(step.concept, site)
            result.append(Addition(site, vector, scopes[step.phase]))
    return result


@pytest.mark.parametrize("name", CASES)
def test_tokens_and_readouts_equal_hugging_face(
    name: str, server: Any, reference: Reference
) -> None:
    steps = CASES[name]
    prompt = reference.tokenizer.encode(PROMPT)
    operations = [add(s.concept, s.strength, s.sites, s.unit, s.phase) for s in steps]
    response = generate(
        server.channel, spec(prompt, *operations, readouts=EVERYTHING, max_tokens=TOKENS)
    )

    generated = ids(response)
    assert len(generated) == TOKENS
    program = additions(steps, reference, len(prompt))
    wrong = reference.first_wrong_token(prompt, generated, program)
    assert wrong is None, f"token {wrong} is not the greedy one"

    expected = reference.run(prompt + generated, program)
    got = rows(response)
    assert sorted(got) == list(range(len(prompt) + TOKENS - 1))
    for position, row in got.items():
        error = np.abs(row - expected.rows[position]).max() / expected.norms[position]
        assert error < TOLERANCE, f"position {position}: {error:.2e}"


def test_steering_changes_the_text(server: Any) -> None:
    texts = {
        generate(server.channel, spec(PROMPT, *operations, max_tokens=TOKENS)).text
        for operations in ([], [add("desperate", 0.4, (15,))], [add("calm", 0.4, (15,))])
    }
    assert len(texts) == 3
