"""Rows of the vector bank against a model that is too simple to be wrong."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.examples import examples
from vagus_server.engine.rows import BankFull, Rows

CHANGES = st.lists(st.tuples(st.booleans(), st.sampled_from("abcdefg")), max_size=60)


@examples
@given(st.integers(1, 5), CHANGES)
def test_contents_in_use_keep_rows_of_their_own(capacity: int, changes: object) -> None:
    rows, users = Rows(capacity + 1), Counter[str]()
    device: dict[int, str] = {}
    row_of: dict[str, int] = {}
    for acquire, content in changes:
        if acquire:
            if not users[content] and len(+users) == capacity:
                with pytest.raises(BankFull) as caught:
                    rows.acquire(content)
                assert caught.value.capacity == capacity
                continue
            row, fresh = rows.acquire(content)
            assert 1 <= row <= capacity
            if fresh:
                assert not any(users[c] for c, r in row_of.items() if r == row), "taken from a user"
                device[row] = content
            users[content] += 1
            row_of[content] = row
        elif users[content]:
            rows.release(content)
            users[content] -= 1
        for content in +users:
            assert device[row_of[content]] == content
            assert rows.uses(content) == users[content]
        assert rows.used == len(+users)
        assert len({row_of[c] for c in +users}) == rows.used


def test_a_full_bank_changes_nothing() -> None:
    rows = Rows(3)
    rows.acquire("a")
    rows.acquire("b")
    for _ in range(2):
        with pytest.raises(BankFull):
            rows.acquire("c")
    assert (rows.used, rows.uses("c")) == (2, 0)
    rows.release("a")
    assert rows.acquire("c")[1]


def test_what_comes_back_soon_is_still_there() -> None:
    rows = Rows(4)
    row, _ = rows.acquire("a")
    rows.acquire("b")
    rows.release("a")
    rows.release("b")
    assert rows.acquire("a") == (row, False)
    rows.release("a")
    rows.acquire("c")  # the empty row
    rows.acquire("d")  # b's, which is longest unused
    assert rows.acquire("a") == (row, False)
    rows.release("c")
    assert rows.acquire("b")[1]


def test_a_row_that_was_never_written_is_not_taken_for_its_content() -> None:
    rows = Rows(2)
    rows.acquire("a")
    rows.acquire("a")
    rows.release("a", keep=False)
    rows.release("a", keep=False)
    assert rows.used == 0
    assert rows.acquire("a")[1]
