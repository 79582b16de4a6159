"""Random requests in random batches against the slow reference, on each kind of server.

VAGUS_CASES=2000 makes a long run; VAGUS_SEED chooses another.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from support.calls import EVERYTHING, GENERATION, generate, spec
from support.compare import compare
from support.random_programs import Asked, requests
from support.reference import Reference
from support.server_process import ServerProcess

pytestmark = pytest.mark.engine

BATCH = 10
CASES = int(os.environ.get("VAGUS_CASES", "102"))
#: The shared server, and the small ones of both runners.
SERVERS = 3


def batches(function: Callable[..., None]) -> Callable[..., None]:
    """Hypothesis's part of the cases: whole batches, without a clock."""
    configured = settings(
        max_examples=max(1, round(CASES / SERVERS / BATCH)),
        deadline=None,
        database=None,
        # Shrinking a batch means running it again and again, each time for a second or more.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    given_batches = given(st.lists(requests, min_size=BATCH, max_size=BATCH))
    return seed(int(os.environ.get("VAGUS_SEED", "1")))(configured(given_batches(function)))


def run(server: Any, reference: Reference, batch: list[Asked]) -> None:
    """All at once; then each against the reference."""

    def ask(asked: Asked) -> Any:
        readouts = EVERYTHING if asked.prompt_readouts else GENERATION
        request = spec(asked.text, *asked.program, readouts=readouts, max_tokens=asked.tokens)
        return generate(server.channel, request, tenant=asked.tenant)

    with ThreadPoolExecutor(len(batch)) as pool:
        responses = list(pool.map(ask, batch))
    for asked, response in zip(batch, responses, strict=True):
        prompt = reference.tokenizer.encode(asked.text)
        program = reference.program(*asked.program, prompt=prompt, text=asked.text)
        try:
            compare(reference, program, prompt, response)
        except AssertionError as error:
            raise AssertionError(f"{error}\nin {asked}") from error


@batches
def test_shared_server(server: Any, reference: Reference, batch: list[Asked]) -> None:
    run(server, reference, batch)


@batches
def test_small_servers(small: ServerProcess, reference: Reference, batch: list[Asked]) -> None:
    run(small, reference, batch)
