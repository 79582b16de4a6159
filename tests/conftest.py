"""Shared by all tests: the bundled model, and one real server for all that need one."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Dynamo traces the model but the eager backend runs it: the engine starts in half a minute.
os.environ.setdefault("VLLM_CPU_CI_ENV", "1")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Engines side by side would fight for the cores: two that share two are ten times slower.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))

SUPPORT = Path(__file__).parent / "support"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that takes the engine's time runs last."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is not None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Side by side, tests that share an engine run in one process, as do those of a file."""
    from xdist.scheduler import LoadScopeScheduling

    class EngineScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            engine = re.search(r"[\[-](shared|small_v[12])[\]-]", nodeid)
            return engine[1] if engine else nodeid.split("::", 1)[0]

    return EngineScheduling(config, log)


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The converted bundled model."""
    from vagus_server.models.bundled import ensure_bundled_model

    return ensure_bundled_model()


# The name is for the scheduler above.
@pytest.fixture(scope="session", params=["shared"])
def server(model_folder: Path) -> Iterator["object"]:
    """The server that most tests share: V1 runner, float32, the shipped pack."""
    from support.app_thread import AppThread

    with AppThread(model_folder) as running:
        yield running
