"""Fixtures of the tests on the real engine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.app_thread import PACK
from support.reference import Reference
from support.server_process import ServerProcess
from support.small_server import small_server


@pytest.fixture(scope="session")
def reference(model_folder: Path) -> Reference:
    """Hugging Face with plain hooks, on the same weights."""
    from vagus_server.packs.pack import Pack

    pack = Pack.load(PACK)
    return Reference.load(model_folder, PACK, pack.names, pack.readout_site, pack.steering_site)


# The names are for the scheduler.
@pytest.fixture(scope="session", params=["v1", "v2"], ids=["small_v1", "small_v2"])
def small(request: pytest.FixtureRequest, model_folder: Path) -> Iterator[ServerProcess]:
    """A server with a small token budget and few KV blocks, on either model runner."""
    with small_server(request.param) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Any:
    """After every test: no request, slot, sink or program is left on the shared server."""
    yield
    if "server" in request.fixturenames:
        from support.waiting import wait_until_idle

        wait_until_idle(request.getfixturevalue("server"))
