"""Random requests in random batches against the slow reference, on each kind of server.

Some change their program while they run; `test_differential_changes.py` does that step by step.
VAGUS_CASES=2000 makes a long run; VAGUS_SEED chooses another.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from support.calls import EVERYTHING, GENERATION, generate, ids, spec
from support.compare import compare, compare_course
from support.conversation import Conversation
from support.random_programs import Asked, changed_requests, requests
from support.reference import Reference
from support.server_process import ServerProcess
from support.slow import SlowCourse
from vagus.v1.readout_pb2 import ReadoutSelection

pytestmark = pytest.mark.engine

BATCH = 10
#: Of a batch, the requests that are changed.
CHANGED = 3
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
    given_batches = given(
        st.tuples(
            st.lists(requests, min_size=BATCH - CHANGED, max_size=BATCH - CHANGED),
            st.lists(changed_requests, min_size=CHANGED, max_size=CHANGED),
        ).map(lambda parts: [*parts[0], *parts[1]])
    )
    return seed(int(os.environ.get("VAGUS_SEED", "1")))(configured(given_batches(function)))


@pytest.fixture
def called() -> Iterator[list[bool]]:
    """Of each of a test's requests, in all its batches, whether it could be judged."""
    verdicts: list[bool] = []
    yield verdicts
    skipped = verdicts.count(False)
    assert skipped <= len(verdicts) / 5, f"{skipped} of {len(verdicts)} are too close to call"


def selection(asked: Asked) -> ReadoutSelection:
    return EVERYTHING if asked.prompt_readouts else GENERATION


def run(server: Any, reference: Reference, batch: list[Asked]) -> list[bool]:
    """All at once; then each against the reference: whether each could be judged."""

    def ask(asked: Asked) -> Any:
        readouts = selection(asked)
        request = spec(asked.text, *asked.program, readouts=readouts, max_tokens=asked.tokens)
        if not asked.changes:
            return [], generate(server.channel, request, tenant=asked.tenant)
        conversation = Conversation(server.channel, request, tenant=asked.tenant)
        for n, (tokens, program) in enumerate(sorted(asked.changes, key=lambda c: c[0])):
            conversation.read(tokens).steer(*program, id=str(n))
        return conversation.changed, conversation.finish()

    with ThreadPoolExecutor(len(batch)) as pool:
        answers = list(pool.map(ask, batch))
    verdicts = []
    for asked, (changed, response) in zip(batch, answers, strict=True):
        try:
            verdicts.append(check(reference, asked, changed, response))
        except AssertionError as error:
            raise AssertionError(f"{error}\nin {asked}") from error
    return verdicts


def check(reference: Reference, asked: Asked, changed: list[Any], response: Any) -> bool:
    """Everything that was told holds; False where a gate is too close to its bound to call."""
    prompt = reference.tokenizer.encode(asked.text)
    program = reference.program(*asked.program, prompt=prompt, text=asked.text)
    programs = [p for _, p in sorted(asked.changes, key=lambda c: c[0])]
    parts = [(0, program)]
    for told in changed:
        if told.HasField("refusal"):
            assert told.refusal.reason == "CHANGE_TOO_LATE"
            continue
        other = reference.program(*programs[int(told.id)], prompt=prompt, text=asked.text)
        other.origin = max(told.program_from, len(prompt))
        while len(parts) > 1 and parts[-1][0] >= told.program_from:
            parts.pop()  # nothing was processed under it
        parts.append((told.program_from, other))
    end = len(prompt) + len(ids(response)) - 1
    parts = [part for part in parts if part[0] < end]
    if len(parts) == 1:
        return compare(reference, program, prompt, response, selection(asked))
    return compare_course(reference, SlowCourse(parts), prompt, response, selection(asked))


@batches
def test_shared_server(
    server: Any, reference: Reference, called: list[bool], batch: list[Asked]
) -> None:
    called += run(server, reference, batch)


@batches
def test_small_servers(
    small: ServerProcess, reference: Reference, called: list[bool], batch: list[Asked]
) -> None:
    called += run(small, reference, batch)
