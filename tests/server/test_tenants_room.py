"""Rows and slots of the device that one tenant's calls hold, while they run."""

import asyncio

import numpy as np
import pytest

from support.calls import RESIDUAL, add
from support.fake_calls import FakeCalls, generate, read
from support.small_pack import HIDDEN, SITES
from support.uploads import inline
from vagus.v1.generation_service_pb2 import Change, GenerationSpec
from vagus.v1.steering_pb2 import Program
from vagus_server.access.account import Account
from vagus_server.errors import ApiError


def program(*contents: int) -> Program:
    """Inline vectors of these contents."""
    rows = np.ones((SITES, HIDDEN), dtype=np.float32)
    return Program(operations=[inline(rows * c, 0.01, (1,), RESIDUAL) for c in contents])


def steered(*contents: int, max_tokens: int = 8) -> GenerationSpec:
    spec = generate(max_tokens=max_tokens)
    spec.program.CopyFrom(program(*contents))
    return spec


def test_a_tenant_holds_a_share_of_the_bank() -> None:
    calls = FakeCalls(account=Account(share=1 / 9))  # 7 rows of 63

    async def run() -> None:
        go_on = asyncio.Event()
        first = asyncio.create_task(calls.stream(steered(1, 2, 3, 4), go_on))
        while not calls.engine._requests:
            await asyncio.sleep(0)
        texts = read(texts=2)
        texts.program.CopyFrom(program(3, 5, 6, 7, 8))
        for refused in (calls.generate(steered(5, 6, 7, 8)), calls.read(texts)):
            with pytest.raises(ApiError) as caught:
                await refused
            error = caught.value
            assert (error.reason, error.retry_seconds) == ("RATE_LIMITED", 1)
            assert error.metadata == {"quota": "inline_vectors", "limit": "7"}
        with pytest.raises(ApiError) as caught:
            await calls.generate(steered(*range(10, 18)))
        assert caught.value.retry_seconds is None, "it could never pass"
        await calls.generate(steered(1, 2, 3, 4, 5, 6, 7))
        go_on.set()
        await first
        await calls.check_nothing_is_left()
        await calls.generate(steered(5, 6, 7, 8))
        await calls.read(texts)
        await calls.check_nothing_is_left()

    asyncio.run(run())


def test_changes_count_among_the_tenants_rows() -> None:
    calls = FakeCalls(account=Account(share=1 / 9), step_seconds=0.01)

    async def run() -> None:
        changes = [Change(program=program(2 * n, 2 * n + 1)) for n in range(1, 6)]
        changed = await calls.converse(steered(max_tokens=60), *changes)
        refusals = [answer.refusal for answer in changed if answer.HasField("refusal")]
        assert (len(changed), len(refusals)) == (5, 2)
        for refusal in refusals:
            assert refusal.reason == "RATE_LIMITED"
            assert dict(refusal.metadata) == {"quota": "inline_vectors", "limit": "7"}
        await calls.check_nothing_is_left()

    asyncio.run(run())


def test_a_tenant_holds_a_share_of_the_room_for_programs() -> None:
    calls = FakeCalls(account=Account(share=1 / 200), step_seconds=0.01)  # 3 of 768
    assert calls.served.program_room == 768

    async def run() -> None:
        contents = [1, 2, 1, 3, 4, 5, 2]
        changes = [Change(program=Program(operations=[add("sad", n / 1000)])) for n in contents]
        changed = await calls.converse(generate(max_tokens=80), *changes)
        assert len(changed) == len(contents)
        refused = [c for c, answer in zip(contents, changed, strict=True) if answer.refusal.reason]
        assert refused == [4, 5], "equal programs share a slot"
        for answer in changed[4:6]:
            assert answer.refusal.reason == "RATE_LIMITED"
            assert answer.refusal.metadata["quota"] == "changed_programs"
        await calls.check_nothing_is_left()

    asyncio.run(run())
