"""Rows of tokens that do not stand count for nothing."""

import numpy as np

from vagus_server.engine.sink import Sink, Span

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
