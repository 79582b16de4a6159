"""A server in the foreground."""

import asyncio
import gc
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from vagus_server.foreground import run


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    assert gc.get_freeze_count() == 0
    yield
    gc.unfreeze()


class Started:
    """As much of a server as is asked here."""

    settings = SimpleNamespace(
        host="127.0.0.1", metrics_host="127.0.0.1", certificates=None, keys=None
    )
    port, metrics_port = 4, 5

    async def start(self) -> None:
        self.loaded = [[i] for i in range(1000)]
        assert gc.get_freeze_count() == 0

    async def run(self) -> int:
        # Collections while it serves do not walk what it has loaded.
        assert gc.get_freeze_count() > len(self.loaded)
        return 7


def test_what_was_loaded_is_not_walked_while_serving(
    capsys: pytest.CaptureFixture[str],
) -> None:
    app: Any = Started()
    assert asyncio.run(run(app, "mine", "text")) == 7
    told = capsys.readouterr()
    assert "serving mine on 127.0.0.1:4\nmetrics on http://127.0.0.1:5/metrics" in told.out
    assert "starting mine" in told.err
