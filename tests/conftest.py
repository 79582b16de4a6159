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

SUPPORT = Path(__file__).parent / "support"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything that takes the engine's time runs last."""
    items.sort(key=lambda item: item.get_closest_marker("engine") is not None)


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
