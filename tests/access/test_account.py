"""Limits of one tenant, in a time that the test makes pass."""

from types import SimpleNamespace
from typing import Any

import pytest
import token_bucket.storage

from support.refusals import CATALOGUE
from vagus_server.access.account import Account
from vagus_server.access.keys import TenantLimits
from vagus_server.errors import ApiError


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(token_bucket.storage, "time", clock)
    return clock


def account(**limits: Any) -> Account:
    return Account(lambda: TenantLimits(**limits))


def limited(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        call()
    error = caught.value
    assert (error.code.name, error.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    assert CATALOGUE[error.reason] == (error.code.name, set(error.metadata))
    return error


def test_calls_per_second(clock: Clock) -> None:
    tenant = account(requests_per_second=2)
    for _ in range(2):
        tenant.call()
    error = limited(tenant.call)
    assert error.metadata == {"quota": "requests_per_second", "limit": "2"}
    assert error.retry_seconds == 1
    clock.now += 0.5
    tenant.call()
    limited(tenant.call)


def test_less_than_a_call_per_second(clock: Clock) -> None:
    tenant = account(requests_per_second=0.1)
    tenant.call()
    clock.now += 3
    assert limited(tenant.call).retry_seconds == 7
    clock.now += 7
    tenant.call()


def test_tokens_per_minute(clock: Clock) -> None:
    tenant = account(tokens_per_minute=600)
    tenant.reserve(600)
    assert limited(lambda: tenant.reserve(100)).retry_seconds == 10
    clock.now += 10
    tenant.reserve(100)


def test_tokens_that_were_not_needed_can_be_used_again(clock: Clock) -> None:
    tenant = account(tokens_per_minute=600)
    tenant.reserve(600)
    tenant.give_back(450)
    tenant.reserve(450)
    limited(lambda: tenant.reserve(1))
    tenant.give_back(10_000)
    tenant.reserve(600)
    assert limited(lambda: tenant.reserve(60)).retry_seconds == 6, "a minute's worth is the most"


def test_more_than_the_limit_never_passes(clock: Clock) -> None:
    tenant = account(tokens_per_minute=600, concurrency=4)
    assert limited(lambda: tenant.reserve(601)).retry_seconds is None
    assert limited(lambda: tenant.open(5)).retry_seconds is None
    tenant.reserve(600)
    tenant.open(4)


def test_open_requests() -> None:
    tenant = account(concurrency=3)
    tenant.open(2)
    assert limited(lambda: tenant.open(2)).retry_seconds == 1
    tenant.open()
    tenant.close(2)
    tenant.open(2)
    limited(tenant.open)
    assert limited(lambda: tenant.open(3, held=1)).retry_seconds is None


def test_changed_limits_count_at_once(clock: Clock) -> None:
    now = SimpleNamespace(limits=TenantLimits(requests_per_second=100))
    tenant = Account(lambda: now.limits)
    tenant.call()
    now.limits = TenantLimits(requests_per_second=1)
    tenant.call()
    limited(tenant.call)
    now.limits = TenantLimits()
    tenant.call()
    tenant.open(2)
    now.limits = TenantLimits(concurrency=1)
    limited(tenant.open)
    tenant.open(0)  # a call that goes on, and wants no further place


def test_no_limits() -> None:
    tenant = Account()
    for _ in range(1000):
        tenant.call()
        tenant.open()
        tenant.reserve(10**9)
