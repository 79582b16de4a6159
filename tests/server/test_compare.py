"""The engine tests' comparison with the reference misses no readout."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support.calls import EVERYTHING, GENERATION
from support.compare import compare
from support.reference import Pass
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import readout_pb2, steering_pb2

PROMPT = [5, 5, 5]
PROGRAM: Any = SimpleNamespace(margin=1.0, message=steering_pb2.Program())


class Zeros:
    """A model whose logits and readouts are all 0."""

    def run(self, ids: list[int], program: object) -> Pass:
        n = len(ids)
        return Pass(np.zeros((n, 9)), np.zeros((n, 1, 2)), np.ones(n))


def compared(asked: readout_pb2.ReadoutSelection, prompt: list[int], tokens: list[int]) -> bool:
    """Compares an answer of two tokens, of which these positions were read."""
    response = generation.GenerateResponse(tokens=[generation.GeneratedToken(id=1)] * 2)
    site = readout_pb2.SiteReadout(before=[0], after=[0])
    for position in prompt:
        response.prompt_readouts.add(position=position, sites=[site])
    for token, position in zip(response.tokens, tokens, strict=False):
        token.readout.position = position
        token.readout.sites.add().CopyFrom(site)
    reference: Any = Zeros()
    return compare(reference, PROGRAM, PROMPT, response, asked)


def test_all_that_was_asked_for_has_come() -> None:
    assert compared(EVERYTHING, [0, 1, 2], [2, 3])
    assert compared(GENERATION, [2], [2, 3])


@pytest.mark.parametrize(
    ("asked", "prompt", "tokens"),
    [
        (EVERYTHING, [], []),
        (EVERYTHING, [0, 2], [2, 3]),
        (EVERYTHING, [0, 1, 2], [2]),
        (GENERATION, [2], [2]),
        (GENERATION, [2], [2, 4]),
        (GENERATION, [0, 1, 2], [2, 3]),
    ],
    ids=["nothing", "prompt", "token", "a token", "another", "too much"],
)
def test_a_missing_or_needless_readout_is_found(
    asked: readout_pb2.ReadoutSelection, prompt: list[int], tokens: list[int]
) -> None:
    with pytest.raises(AssertionError):
        compared(asked, prompt, tokens)
