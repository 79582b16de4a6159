"""Test set-up of the clients: their shared modules are importable, and what runs them."""

import sys
from pathlib import Path

import pytest

# In importlib mode a test module cannot import its neighbours by itself.
sys.path.insert(0, str(Path(__file__).parent))

from client_drivers import AsyncDriver, Driver, SyncDriver


@pytest.fixture(params=[SyncDriver, AsyncDriver], ids=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> Driver:
    """Runs a test once with each kind of client."""
    return request.param()


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have settings of their own."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "VAGUS_SERVER", "VAGUS_API_KEY"):
        monkeypatch.delenv(name, raising=False)
