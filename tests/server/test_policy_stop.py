"""A request that a policy stops ends with the token out of the deciding state, and always ends."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.bare_scheduler import CONCEPTS, BareEngine, scheduler
from support.tiny_models import HIDDEN, LAYERS
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_END, News, Order, OrderPolicy

PROMPT = [5, 6, 7, 8]
WATCHED = OrderPolicy(0, 0, 0.0, 1.0, 1, 1.0, 1.0, 1.0, 1, stops=True)


def engine(folder: Path) -> BareEngine:
    config = PluginConfig(LAYERS, HIDDEN, readout_sites=(0,), concepts=CONCEPTS)
    vectors = np.ones((LAYERS, config.vectors), dtype=np.float32)
    return BareEngine(scheduler(folder, kv_blocks=16), Batch(config, vectors, table_rows=64))


def add(bare: BareEngine, *names: str) -> None:
    for name in names:
        bare.add(name, PROMPT, Order(read=((len(PROMPT) - 1, NO_END),), policies=(WATCHED,)))


class Frontend:
    """vLLM's output processor with our sinks."""

    def __init__(self, *names: str) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine import EngineCoreRequest
        from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector

        self.processor = OutputProcessor(None, log_stats=False)
        self.sinks = Sinks((1, CONCEPTS, 2), LAYERS)
        self.sinks.attach(self.processor)
        self.queues: dict[str, Any] = {}
        self.opened: dict[str, Sink] = {}
        kind = RequestOutputKind.DELTA
        sampling = SamplingParams(max_tokens=64, detokenize=False, output_kind=kind)
        for name in names:
            self.opened[name] = Sink((), None)
            self.sinks.open(name, self.opened[name])
            queue = self.queues[name] = RequestOutputCollector(kind, name)
            request = EngineCoreRequest(
                *(name, PROMPT, None, sampling, None, 0.0, None, None, None), external_req_id=name
            )
            self.processor.add_request(request, None, queue=queue)

    def take(self, name: str) -> tuple[list[int], str | None]:
        """The tokens of a request since it was last asked, and why it has ended."""
        output = self.queues[name].get_nowait()
        if output is None:
            return [], None
        return list(output.outputs[0].token_ids), output.outputs[0].finish_reason


@pytest.mark.parametrize("slice_size", [1, 2, 4])
def test_the_token_comes_before_the_end_whichever_slice_it_is_in(
    slice_size: int, tmp_path: Path
) -> None:
    """AsyncLLM processes a step's outputs in slices, and news comes with the first."""
    names = ("a", "b", "c", "d")
    bare, frontend = engine(tmp_path), Frontend(*names)
    add(bare, *names)
    for position in (3, 4):
        outputs, _ = bare.step(lambda name, at, _: float(name in "ad" and at == 4))
        assert [output.request_id for output in outputs] == list(names)
        for start in range(0, len(outputs), slice_size):
            frontend.processor.process_outputs(outputs[start : start + slice_size])
        ends = {name: "abort" if name in "ad" and position == 4 else None for name in names}
        assert {name: frontend.take(name) for name in names} == {n: ([7], ends[n]) for n in names}
    assert [s.stops for s in frontend.opened["d"].sightings] == [True]
    assert sorted(frontend.processor.request_states) == ["b", "c"]
    assert sorted(bare.scheduler.requests) == ["b", "c"]


@pytest.mark.parametrize("names", [("a",), ("a", "b")])
def test_one_without_an_output_in_the_step_ends_too(names: tuple[str, ...], tmp_path: Path) -> None:
    """vLLM drops what a step in flight brings to a request that was preempted and goes on."""
    bare, frontend = engine(tmp_path), Frontend(*names)
    add(bare, *names)
    bare.step(lambda *_: 0.0)
    output = bare.scheduler.schedule()
    result = bare.run(output, lambda name, *_: float(name == "a"))
    request = bare.scheduler.requests["a"]
    request.num_stale_output_tokens, request.drop_stale_output = 1, True
    outputs, news = bare.take(output, result)
    assert [sighting.id for sighting in news.sightings] == ["a"]
    frontend.processor.process_outputs(outputs)
    assert frontend.take("a") == ([], "abort")
    assert [s.stops for s in frontend.opened["a"].sightings] == [True]
    assert "a" not in bare.scheduler.requests


def test_news_alone_end_nothing() -> None:
    """What ends a request is its own output."""
    from vllm.v1.engine import EngineCoreOutput

    from vagus_server.plugin.wire import Sighting, news_to_array

    frontend = Frontend("a", "b")
    stop = News([], [], [Sighting("b", 0, True, 4, 1.0, stops=True)])
    frontend.processor.process_outputs(
        [EngineCoreOutput("a", [7], routed_experts=news_to_array(stop))]
    )
    assert "b" in frontend.processor.request_states
    assert len(frontend.opened["b"].sightings) == 1
