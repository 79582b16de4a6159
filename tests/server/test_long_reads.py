"""Long prompts and texts: others have their turns, rows go as they are told, sizes are bounded."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.fake_calls import FakeCalls, generate
from support.fake_engine import FakeEngine
from vagus.v1.generation_service_pb2 import GenerationSpec
from vagus.v1.prompt_pb2 import Prompt, TokenIds
from vagus.v1.readout_pb2 import ReadoutSelection
from vagus.v1.readout_service_pb2 import ReadTextRequest
from vagus_server.engine.request import EngineRequest
from vagus_server.errors import ApiError
from vagus_server.readouts.render import Renderer
from vagus_server.services import answer, turns
from vagus_server.services.prompt import PromptEncoder

TOKENS = 64
PROMPT = Prompt(token_ids=TokenIds(ids=range(5, 5 + TOKENS)))
READ = ReadoutSelection(prompt=True, raw=True, top_k=1)


def spec(**sampling: Any) -> GenerationSpec:
    """Reads its prompt, and what it generates."""
    message = generate()
    message.prompt.CopyFrom(PROMPT)
    message.readouts.CopyFrom(READ)
    message.readouts.generation = True
    for name, value in sampling.items():
        setattr(message.sampling, name, value)
    return message


def texts(count: int = 1) -> ReadTextRequest:
    return ReadTextRequest(inputs=[PROMPT] * count, readouts=READ)


Ask = Callable[[FakeCalls], Awaitable[Any]]
READS: list[Ask] = [
    lambda calls: calls.read(texts()),
    lambda calls: calls.stream(spec()),
    lambda calls: calls.generate(spec()),
]


def turns_of(
    owner: type, name: str, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], Any]:
    """In which turn of the loop each call of a method was made, and what the call answered."""
    turn, made, method, calls = 0, list[int](), getattr(owner, name), FakeCalls()

    def noted(*args: Any, **kwargs: Any) -> Any:
        made.append(turn)
        return method(*args, **kwargs)

    async def others() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def run() -> Any:
        beside = asyncio.create_task(others())
        try:
            return await ask(calls)
        finally:
            beside.cancel()

    monkeypatch.setattr(owner, name, noted)
    return made, asyncio.run(run())


def test_others_have_their_turn_between_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = turns_of(
        PromptEncoder, "encode", lambda calls: calls.read(texts(count=9)), monkeypatch
    )
    assert len(set(made)) == 9


@pytest.mark.parametrize("ask", READS)
def test_others_have_their_turn_between_rows(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "ROWS_A_TURN", 8)
    made, _ = turns_of(Renderer, "fill", ask, monkeypatch)
    prompt = made[:TOKENS]
    assert max(map(prompt.count, prompt)) <= 8


@pytest.mark.parametrize("ask", READS)
def test_rows_go_as_they_are_told(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    left, close = list[int](), FakeEngine.close

    def noted(engine: FakeEngine, request: EngineRequest) -> None:
        left.append(len(engine._open[request.request_id].rows))
        close(engine, request)

    monkeypatch.setattr(FakeEngine, "close", noted)
    asyncio.run(ask(FakeCalls()))  # type: ignore[arg-type]
    assert left == [0]


def test_the_first_token_was_chosen_out_of_the_prompts_last() -> None:
    """So its row is needed twice."""
    response = asyncio.run(FakeCalls().generate(spec()))
    assert [r.position for r in response.prompt_readouts] == list(range(TOKENS))
    assert response.prompt_readouts[-1] == response.tokens[0].readout


@pytest.mark.parametrize("ask", READS)
def test_rows_of_a_call_are_bounded_however_little_is_told(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_bytes = FakeCalls().served.row_bytes
    monkeypatch.setattr(answer, "MAX_ROW_BYTES", TOKENS * row_bytes)
    asyncio.run(ask(FakeCalls()))  # type: ignore[arg-type]
    monkeypatch.setattr(answer, "MAX_ROW_BYTES", TOKENS * row_bytes - 1)
    with pytest.raises(ApiError) as caught:
        asyncio.run(ask(FakeCalls()))  # type: ignore[arg-type]
    error = caught.value
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert error.metadata["field"].endswith("readouts")
    assert error.metadata["value"] == f"{TOKENS * row_bytes}"


@pytest.mark.parametrize("sampling", [{}, {"logprobs": 5}, {"logprobs": 5, "n": 3}])
def test_an_answer_that_would_not_fit_a_message_is_refused_beforehand(
    sampling: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = FakeCalls()

    async def ask(max_tokens: int, *, whole: bool) -> None:
        asked = spec(max_tokens=max_tokens, **sampling)
        asked.ClearField("readouts")
        await (calls.generate(asked) if whole else calls.stream(asked))

    size = 30 * 20 * (1 + sampling.get("logprobs", 0)) * sampling.get("n", 1)
    monkeypatch.setattr(answer, "MAX_MESSAGE_BYTES", size)
    asyncio.run(ask(30, whole=True))
    asyncio.run(ask(31, whole=False))
    with pytest.raises(ApiError) as caught:
        asyncio.run(ask(31, whole=True))
    error = caught.value
    assert (error.code.name, error.reason) == ("INVALID_ARGUMENT", "FIELD_INVALID")
    assert error.metadata["field"] == "spec.sampling.max_tokens"
    assert int(error.metadata["value"]) > int(error.metadata["limit"]) == size
