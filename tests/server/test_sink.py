"""Rows of tokens that do not stand count for nothing."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from vagus_server.engine.sink import Sink, Sinks, Span
from vagus_server.plugin.wire import Step

NOTHING = np.zeros((0, 4), dtype=np.int32), np.zeros(0, dtype=np.float32)


def feed(sink: Sink, start: int, *values: float) -> None:
    rows = np.array(values, dtype=np.float32)[:, None, None, None]
    span = Span(start, len(values), *NOTHING)
    sink.feed(span, list(range(start, start + len(values))), rows)


def test_rows_of_rejected_drafts_are_replaced() -> None:
    sink = Sink(((0, 100),), turn_start=3)
    feed(sink, 3, 1)
    sink.settle(4)
    feed(sink, 4, 2, 7, 7)  # two drafts, of which none stands
    sink.settle(5)
    assert (sink.turn_tokens, sink.turn_sum) == (2, 3)
    feed(sink, 5, 4, 8)  # one, and it stands
    sink.settle(7)
    assert (sink.turn_tokens, sink.turn_sum) == (4, 15)
    assert [sink.rows[p].item() for p in range(3, 7)] == [1, 2, 4, 8]
    assert sink.last_prompt_token == 1


def test_rows_past_the_end_do_not_count() -> None:
    sink = Sink((), turn_start=0)
    feed(sink, 0, 1, 2, 3)
    sink.settle(2)
    assert (sink.turn_tokens, sink.turn_sum) == (2, 3)


def test_rows_before_the_turn_do_not_count() -> None:
    sink = Sink(((0, 2),), turn_start=2)
    feed(sink, 0, 5, 5, 1)
    sink.settle(3)
    assert (sink.turn_tokens, sink.turn_sum) == (1, 1)
    assert sorted(sink.rows) == [0, 1]


def test_a_position_computed_again_counts_once() -> None:
    sink = Sink((), turn_start=0)
    feed(sink, 0, 1, 2)
    sink.settle(2)
    feed(sink, 0, 1, 2, 3)
    sink.settle(3)
    assert (sink.turn_tokens, sink.turn_sum) == (3, 6)


def test_a_row_that_is_kept_does_not_hold_the_whole_steps() -> None:
    sinks, sink = Sinks((1, 3, 2), sites=4), Sink(((0, 100),), turn_start=None)
    sinks.open("a", sink)
    spans = np.array([[7, 1, 1, 1, 1], [9, 1, 1, 1, 1]], dtype=np.int32)
    step = Step(
        ["a-0", "b-0"],
        spans.tobytes(),
        positions=np.array([7, 9], dtype=np.int32).tobytes(),
        readouts=np.arange(12, dtype=np.float32).tobytes(),
        marks=np.ones((2, 4), dtype=np.int32).tobytes(),
        steps=np.ones(2, dtype=np.float32).tobytes(),
    )
    sinks.route(step, {"a-0": SimpleNamespace(external_req_id="a")})
    kept = [sink.rows[7], sink.spans[0].marks, sink.spans[0].steps]
    assert sink.rows[7].tolist() == [[[0, 1], [2, 3], [4, 5]]]
    for array in kept:
        whole = array if array.base is None else array.base
        assert isinstance(whole, np.ndarray)
        assert whole.nbytes == array.nbytes


class Processor:
    """As vLLM's: it forgets a request that ends, be it by the engine's word or a stop string."""

    def __init__(self, *names: str) -> None:
        self.request_states = {f"{n}-0": SimpleNamespace(external_req_id=n) for n in names}

    def process_outputs(
        self,
        engine_core_outputs: Sequence[Any],
        engine_core_timestamp: float | None = None,
        iteration_stats: Any = None,
        weight_version: str | None = None,
    ) -> str:
        for output in engine_core_outputs:
            if output.finish_reason or output.stop_string:
                self.request_states.pop(output.request_id, None)
        return "processed"


def test_the_end_of_a_request_is_told_once() -> None:
    def output(name: str, **ends: Any) -> Any:
        fields = {"routed_experts": None, "finish_reason": None, "stop_string": None} | ends
        return SimpleNamespace(request_id=f"{name}-0", **fields)

    sinks, processor, ended = Sinks((1, 3, 2), sites=4), Processor(*"abcd"), list[str]()
    opened = {name: Sink((), None) for name in "abc"}  # nobody listens to d any more
    for name, sink in opened.items():
        sink.on_end = lambda name=name: ended.append(name)  # type: ignore[misc]
        sinks.open(name, sink)
    sinks.attach(processor)
    assert processor.process_outputs([output("a"), output("b"), output("c")]) == "processed"
    assert not ended
    last = [output("a", finish_reason="stop"), output("b"), output("c", stop_string="x")]
    processor.process_outputs([*last, output("d", finish_reason="length")])
    assert ended == ["a", "c"]
    assert [sink.ended for sink in opened.values()] == [True, False, True]
    processor.process_outputs([output("a", finish_reason="stop")])  # it was aborted meanwhile
    assert ended == ["a", "c"]
