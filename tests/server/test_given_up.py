"""A request that the engine ends by itself: no evidence is missing, and it is not asked again."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from grpc import StatusCode

from support.calls import add
from support.fake_calls import FakeCalls, generate, read
from support.fake_engine import FakeEngine
from vagus.v1.sampling_pb2 import Structure
from vagus.v1.steering_pb2 import Program
from vagus_server.engine.request import EngineOutput
from vagus_server.errors import ApiError
from vagus_server.services.context import current_call
from vagus_server.services.failure import as_api_error


def ending(calls: FakeCalls, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the engine end every request with this reason, and with nothing else."""

    async def end(*_: Any) -> AsyncGenerator[EngineOutput]:
        yield EngineOutput("", [], None, reason, None, 0)

    monkeypatch.setattr(FakeEngine, "generate", end)
    monkeypatch.setattr(calls.served.structures, "argument", lambda *_: "a structure")


def failure(calls: FakeCalls, ask: Any) -> ApiError:
    async def run() -> ApiError:
        with pytest.raises((RuntimeError, ApiError)) as caught:
            await calls.read(ask) if hasattr(ask, "inputs") else await calls.generate(ask)
        await calls.check_nothing_is_left()
        return as_api_error(caught.value, current_call.get())

    return asyncio.run(run())


@pytest.mark.parametrize("steered", [False, True])
@pytest.mark.parametrize("structured", [False, True])
def test_what_the_engine_cannot_run_is_not_to_be_tried_again(
    steered: bool, structured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, spec = FakeCalls(), generate()
    ending(calls, "error", monkeypatch)
    if steered:
        spec.program.CopyFrom(Program(operations=[add("calm", 0.1)]))
    if structured:
        spec.sampling.structure.CopyFrom(Structure(regex="(a|b)*c"))
    error = failure(calls, spec)
    if structured:
        field = "spec.sampling.structure"
        assert (error.code, error.reason) == (StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert error.metadata == {"field": field}
        assert field in error.message
    else:
        assert (error.code, error.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert error.retry_seconds is None


def test_a_text_that_cannot_be_read_is_not_to_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = FakeCalls()
    ending(calls, "error", monkeypatch)
    error = failure(calls, read())
    assert error.code is StatusCode.INTERNAL
    assert "engine" in error.message


@pytest.mark.parametrize("steered", [False, True])
def test_what_the_engine_drops_may_be_tried_again(
    steered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, spec = FakeCalls(), generate()
    ending(calls, "abort", monkeypatch)
    if steered:
        spec.program.CopyFrom(Program(operations=[add("calm", 0.1)]))
    error = failure(calls, spec)
    assert (error.code, error.reason) == (StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
