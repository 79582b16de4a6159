"""ReadText without an engine: one bad text ends the call, with its own error."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from support.small_pack import small_pack, small_registry
from vagus.v1.prompt_pb2 import Prompt, TokenIds
from vagus.v1.readout_service_pb2 import ReadTextRequest, ReadTextResponse
from vagus_server.engine.failures import EngineUnavailable
from vagus_server.engine.request import EngineOutput, EngineRequest
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sink, Sinks, Span
from vagus_server.errors import ApiError
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import Order
from vagus_server.services.context import Call, current_call
from vagus_server.services.readout import ReadoutService
from vagus_server.services.served import Limits, Served

PACK = small_pack()
CONCEPTS = len(PACK.names)


class Engine:
    """Reads position p of every text as p, or NaN from position `broken` on."""

    def __init__(self, broken: int = 100, dead: bool = False) -> None:
        self.pack = PACK
        self.plugin = PluginConfig(
            sites=PACK.sites, hidden_size=8, readout_sites=(PACK.readout_site,), concepts=CONCEPTS
        )
        self.adapters: dict[str, Path] = {}
        self.sinks = Sinks((1, CONCEPTS, 2), PACK.sites)
        config = SimpleNamespace(max_model_len=64, get_vocab_size=lambda: 50)
        tokenizer = SimpleNamespace(decode=str, get_vocab=lambda: {"x": 0})
        self.llm = SimpleNamespace(
            vllm_config=SimpleNamespace(model_config=config), get_tokenizer=lambda: tokenizer
        )
        self._open: dict[str, Sink] = {}
        self._broken, self._dead = broken, dead
        self.bank = small_registry(PACK)._bank

    def submit(self, request: EngineRequest) -> Running:
        sink = self._open[request.request_id] = Sink(request.read, None)
        self.sinks.open(request.request_id, sink)
        return Running(self, request, sink)  # type: ignore[arg-type]

    def close(self, request: EngineRequest) -> None:
        self.sinks.close(request.request_id)

    async def generate(self, request: EngineRequest, order: Order) -> AsyncIterator[EngineOutput]:
        await asyncio.sleep(0)
        if self._dead:
            raise EngineUnavailable("dead")
        positions = list(range(len(request.token_ids)))
        rows = np.array(positions, dtype="<f4")[:, None, None, None] * np.ones((1, CONCEPTS, 2))
        rows[self._broken :] = np.nan
        unmarked = np.zeros((0, PACK.sites), dtype=np.int32), np.zeros(0, dtype=np.float32)
        span = Span(0, len(positions), *unmarked)
        self._open[request.request_id].feed(span, positions, rows.astype("<f4"))
        scored = "prompt_logprobs" in request.sampling
        entries = [{t: SimpleNamespace(logprob=-t / 4)} for t in request.token_ids]
        logprobs = [None, *entries[1:]] if scored else []
        yield EngineOutput("", [1], None, "length", None, 0, logprobs)


def read(engine: Engine, *texts: list[int], **fields: Any) -> ReadTextResponse:
    metrics: Any = SimpleNamespace(
        read=lambda running, sinks: None,
        queued=lambda seconds: None,
        policies=SimpleNamespace(show=lambda names: None),
    )
    registry = small_registry(PACK)
    served = Served("tiny", engine, metrics, Limits(max_requests=8), registry)  # type: ignore[arg-type]
    request = ReadTextRequest(
        inputs=[Prompt(token_ids=TokenIds(ids=ids)) for ids in texts], **fields
    )
    context: Any = SimpleNamespace(time_remaining=lambda: None)
    current_call.set(Call("ReadText"))
    return asyncio.run(ReadoutService(served).ReadText(request, context))


@pytest.fixture(autouse=True)
def vllm_stub(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Running.outputs` wants only the class of one exception of vLLM's."""
    module = SimpleNamespace(EngineDeadError=type("EngineDeadError", (Exception,), {}))
    monkeypatch.setitem(sys.modules, "vllm.v1.engine.exceptions", module)


def test_results_come_in_order_with_means_that_leave_position_0_out() -> None:
    response = read(Engine(), [1, 2, 3], [4], readouts={"raw": True, "prompt": True})
    first, second = response.results
    assert [(t.id, t.text, t.readout.position) for t in first.tokens] == [
        (1, "[1]", 0),
        (2, "[2]", 1),
        (3, "[3]", 2),
    ]
    assert list(first.tokens[2].readout.sites[0].after) == [2.0] * CONCEPTS
    assert list(first.mean.sites[0].after) == [1.5] * CONCEPTS
    assert (first.mean.tokens, first.token_count) == (2, 3)
    assert (len(second.tokens), second.HasField("mean")) == (1, False)
    assert list(response.layout.concepts) == PACK.names


def test_the_last_token_alone() -> None:
    response = read(Engine(), [1, 2, 3], readouts={"last_prompt_token": True})
    assert [t.readout.position for t in response.results[0].tokens] == [2]


def test_log_probabilities_are_of_every_token_but_the_first() -> None:
    tokens = read(Engine(), [1, 2, 3], logprobs=True).results[0].tokens
    assert [t.logprob for t in tokens[1:]] == [-0.5, -0.75]
    assert not tokens[0].HasField("logprob")
    assert not read(Engine(), [1, 2]).results[0].tokens[1].HasField("logprob"), "not asked for"


def test_log_probabilities_of_unread_tokens_are_refused() -> None:
    with pytest.raises(ApiError) as caught:
        read(Engine(), [1, 2], readouts={"last_prompt_token": True}, logprobs=True)
    assert caught.value.metadata["field"] == "logprobs"


def test_an_engine_that_dies_is_not_an_internal_error() -> None:
    engine = Engine(dead=True)
    with pytest.raises(EngineUnavailable):
        read(engine, [1], [2], [3])
    assert len(engine.sinks) == 0


def test_a_readout_that_is_not_finite_says_where() -> None:
    engine = Engine(broken=1)
    with pytest.raises(ApiError) as caught:
        read(engine, [1], [1, 2])
    assert caught.value.reason == "READOUT_NOT_FINITE"
    assert caught.value.metadata == {"site": str(PACK.readout_site), "position": "1"}
    assert len(engine.sinks) == 0


def test_an_id_that_runs_is_refused() -> None:
    engine = Engine()
    engine.sinks.open("mine-1", Sink((), None))
    with pytest.raises(ApiError) as caught:
        read(engine, [1], [2], request_id="mine")
    assert caught.value.reason == "REQUEST_ID_IN_USE"
    assert len(read(engine, [1], request_id="mine").results) == 1


def test_more_than_there_is_room_for_is_refused() -> None:
    engine = Engine()
    for i in range(7):
        engine.sinks.open(f"other-{i}", Sink((), None))
    assert read(engine, [1]).results
    with pytest.raises(ApiError) as caught:
        read(engine, [1], [2])
    assert caught.value.reason == "QUEUE_FULL"
