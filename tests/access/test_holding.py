"""What one tenant holds of what all share: equal things count once, and nothing stays behind."""

from contextlib import ExitStack

import pytest

from vagus_server.access.access import Access
from vagus_server.access.account import EVERYBODYS_SHARE
from vagus_server.access.holding import Holding
from vagus_server.errors import ApiError


def test_more_than_its_share_is_refused() -> None:
    held = Holding("inline_vectors", 1 / 4)
    with held.holding("abc", 16):
        with pytest.raises(ApiError) as caught, held.holding("de", 16):
            pytest.fail("there was no room")
        error = caught.value
        assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert error.metadata == {"quota": "inline_vectors", "limit": "4"}
        assert error.retry_seconds == 1
        assert "4 inline vectors" in error.message
        with held.holding("ae", 16):
            assert len(held) == 4
        assert len(held) == 3
    assert len(held) == 0
    with pytest.raises(ApiError) as caught, held.holding("abcde", 16):
        pytest.fail("there was no room")
    assert caught.value.retry_seconds is None, "it could never pass"
    assert len(held) == 0


def test_equal_things_count_once_however_many_hold_them() -> None:
    held = Holding("changed_programs", 1 / 4)
    with ExitStack() as many:
        for _ in range(100):
            many.enter_context(held.holding("aab", 8))
        assert len(held) == 2
        with held.holding("b", 8), held.holding("", 8):
            pass
        assert len(held) == 2
    assert len(held) == 0


def test_who_holds_something_may_go_on_when_there_is_less_room() -> None:
    held = Holding("changed_programs", 1.0)
    with held.holding("abc", 3), held.holding("ab", 1):
        assert len(held) == 3


def test_without_keys_all_callers_have_one_account() -> None:
    """A tenant that anybody can state would be a limit that anybody can leave behind."""
    access = Access()
    first, second = (access.identify([("vagus-tenant", name)]) for name in ("acme", "globex"))
    assert first.account is second.account
    digests = [f"{n}" for n in range(100)]
    with (
        first.account.inline_vectors.holding(digests[: int(100 * EVERYBODYS_SHARE)], 100),
        pytest.raises(ApiError),
        second.account.inline_vectors.holding(digests[-1:], 100),
    ):
        pytest.fail("there was no room")
