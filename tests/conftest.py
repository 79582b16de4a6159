"""Shared by all tests: the bundled model, and one real server for all that need one."""

import os
from collections.abc import Iterator
from pathlib import Path

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
    """Everything that takes the engine's time runs last; tests that share one, in one process."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is not None)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(engine_of(item)))


def engine_of(item: pytest.Item) -> str:
    """The engine that a test shares with others; else the file, whose fixtures it shares."""
    runner = getattr(item, "callspec", None) and item.callspec.params.get("small")
    if runner:
        return f"small-{runner}"
    return "server" if "server" in getattr(item, "fixturenames", ()) else item.location[0]


@pytest.fixture(scope="session")
def model_folder() -> Path:
    """The converted bundled model."""
    from vagus_server.models.bundled import ensure_bundled_model

    return ensure_bundled_model()


@pytest.fixture(scope="session")
def server(model_folder: Path) -> Iterator["object"]:
    """The server that most tests share: V1 runner, float32, the shipped pack."""
    from support.app_thread import AppThread

    with AppThread(model_folder) as running:
        yield running
