"""A vector bank with two rows to spare, on both model runners."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode

from support.calls import RESIDUAL, add, generate, ids, spec
from support.refusals import Refusal, check, refused
from support.server_process import ServerProcess
from support.small_server import PACK_NAMES, SPARE, pack_rows
from support.uploads import concepts, delete, inline, upload
from support.waiting import wait_for

pytestmark = pytest.mark.engine

FULL = Refusal(StatusCode.RESOURCE_EXHAUSTED, "VECTOR_BANK_FULL")
SITES = (10, 15)
PROMPT = "The evening began quietly, and"


def used(server: ServerProcess) -> float:
    return server.metrics()["vagus_vector_rows_used"]


def test_a_full_bank_refuses_and_leaves_nothing(small: ServerProcess) -> None:
    channel, rows = small.channel, pack_rows("happy")
    capacity = str(len(PACK_NAMES) + SPARE)
    facts = {"capacity": capacity, "in_use": capacity}
    third = rows * np.float16(0.125)
    names = [f"own {i}" for i in range(SPARE)]
    try:
        for i, name in enumerate(names):
            upload(channel, rows * np.float16(0.5 + 0.125 * i), name=name)
        check(refused(lambda: upload(channel, third, name="more")), FULL, facts)
        request = spec(PROMPT, inline(third, 0.1, SITES, RESIDUAL), max_tokens=2)
        check(refused(lambda: generate(channel, request)), FULL, facts)
        assert "more" not in concepts(channel)
        assert len(ids(generate(channel, spec(PROMPT, add(names[0], 0.1), max_tokens=2)))) == 2
    finally:
        for name in names:
            delete(channel, name)
    assert ids(generate(channel, request))
    wait_for(lambda: used(small) == len(PACK_NAMES), "the rows to be free")


def test_rows_pass_from_request_to_request_and_never_under_one(small: ServerProcess) -> None:
    """Half a vector is other contents in the same direction, and steers alike."""
    names = PACK_NAMES[:4]
    reference = {
        name: generate(small.channel, spec(PROMPT, add(name, 0.3, SITES), max_tokens=6))
        for name in names
    }

    def run(n: int) -> Any:
        expected = reference[names[n % len(names)]]
        operation = inline(pack_rows(names[n % len(names)]) * np.float16(0.5), 0.3, SITES, RESIDUAL)
        # Every other one ends by a stop string: the engine hears of that last of all.
        stop = [expected.tokens[3].text] if n % 2 else []
        got = generate(small.channel, spec(PROMPT, operation, max_tokens=6, stop=stop))
        return got, expected

    with ThreadPoolExecutor(SPARE) as pool:
        for n, (got, expected) in enumerate(pool.map(run, range(16))):
            assert ids(got) == ids(expected)[: len(got.tokens)]
            assert n % 2 or len(got.tokens) == len(expected.tokens)
            (mine,), (packs,) = (r.finish.receipt.operations for r in (got, expected))
            assert mine.concept_digest != packs.concept_digest
            assert [s.length for s in mine.sites] == [s.length for s in packs.sites]
    wait_for(lambda: used(small) == len(PACK_NAMES), "the rows to be free")
