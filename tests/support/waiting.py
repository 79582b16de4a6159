"""Waits for what the server does in its own time, bounded."""

import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Returns as soon as the condition holds; fails after the given time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


def wait_until_idle(server: Any) -> None:
    """Waits until the workers and the frontend hold nothing of any request."""
    engine = server.app.engine
    wait_for(lambda: len(engine.sinks) == 0, "the frontend to forget its requests")
    wait_for(
        lambda: server.usage() == {"requests": 0, "slots": 0},
        "the workers to free requests and slots",
    )
    processor = engine.llm.output_processor
    wait_for(lambda: not processor.request_states, "vLLM to forget its requests")
