"""Rows of passes go into sums once each, whatever the scheduler computes again."""

import numpy as np

from vagus_server.plugin.batch import Layout
from vagus_server.plugin.taps import Taps
from vagus_server.plugin.wire import NO_END, Order


def begin(taps: Taps, *requests: tuple[str, int, int]) -> tuple[list[list[int]], list[int]]:
    """A pass of requests: id, rows, position of the first."""
    ids, tokens, starts = zip(*requests, strict=True)
    ranges, anew = taps.begin(list(ids), np.array(tokens), np.array(starts))
    return ranges.tolist(), anew


def layout(*requests: tuple[str, list[int]]) -> Layout:
    """The positions that are read of some requests."""
    spans = np.zeros((len(requests), 5), dtype=np.int32)
    spans[:, 2] = [len(positions) for _, positions in requests]
    positions = np.concatenate([positions for _, positions in requests]).astype(np.int32)
    return Layout([name for name, _ in requests], spans, positions)


def two_spans() -> Taps:
    taps = Taps(3)
    taps.add("a", Order(tap=((0, 1, NO_END), (2, 6, 9))))
    return taps


def test_rows_of_chunks_are_added_to_each_other() -> None:
    taps = two_spans()
    assert begin(taps, ("b", 3, 0), ("a", 5, 0)) == ([[4, 8], [0, 0], [0, 0]], [])
    assert begin(taps, ("a", 5, 5), ("b", 1, 3)) == ([[0, 5], [0, 0], [1, 4]], [])
    assert taps.take([0, 2]) == [9, 3]
    assert taps.take([0, 2]) == [0, 0]


def test_a_request_that_starts_again_is_summed_anew() -> None:
    taps = two_spans()
    begin(taps, ("a", 8, 0))
    begin(taps, ("a", 1, 8))
    # Preempted: all of its positions come again, with one that was generated since.
    assert begin(taps, ("a", 7, 0)) == ([[1, 7], [0, 0], [6, 7]], [0, 2])
    assert begin(taps, ("a", 3, 7)) == ([[0, 3], [0, 0], [0, 2]], [])
    assert taps.take([2, 0]) == [3, 9]


def test_the_next_request_of_a_group_finds_it_empty() -> None:
    taps = two_spans()
    begin(taps, ("a", 8, 0))
    taps.take([0, 2])
    taps.finish("a")
    taps.add("b", Order(tap=((2, 0, NO_END),)))
    assert begin(taps, ("b", 4, 0)) == ([[0, 0], [0, 0], [0, 4]], [])


def test_a_position_is_read_once() -> None:
    taps = Taps(1)
    first = layout(("a", [1, 2, 3]), ("b", []), ("c", [5]))
    assert taps.unread(first).tolist() == [True] * 4
    again = layout(("a", [1, 2]), ("c", [6]))
    assert taps.unread(again).tolist() == [False, False, True]
    assert taps.unread(layout(("a", [3, 4]))).tolist() == [False, True]
    taps.finish("a")
    assert taps.unread(layout(("a", [1]))).tolist() == [True]
