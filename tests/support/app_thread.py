"""A real server in a thread of the test process: gRPC on a free port, real vLLM behind it."""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

import grpc

T = TypeVar("T")
PACK = Path(__file__).parents[2] / "server/vagus_server/data/packs/smollm2-135m-instruct"


class AppThread:
    """Starts an App; `app` is it, `target` its address, `run` runs a coroutine beside it."""

    def __init__(self, model: Path, *, max_dose: float = 2.0, **engine: Any) -> None:
        from vagus_server.app import App, load_pack_for
        from vagus_server.engine.settings import EngineSettings
        from vagus_server.services.served import Limits
        from vagus_server.settings import ServerSettings

        options = {
            "dtype": "float32",
            "max_model_len": 1024,
            "max_running": 64,
            "kv_cache_gib": 0.5,
            "engine_options": {"block_size": 32},
        } | engine
        self.pack = load_pack_for(model, PACK)
        self.app = App(
            "smollm2-135m-instruct",
            EngineSettings(model=model, **options),
            ServerSettings(
                port=0, metrics_port=0, limits=Limits(max_dose=max_dose, max_requests=1024)
            ),
            self.pack,
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float = 600) -> T:
        """Runs a coroutine on the server's loop and returns its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        """Starts a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def __enter__(self) -> Self:
        self._thread.start()
        self.run(self.app.start())
        self.target = f"127.0.0.1:{self.app.port}"
        self.channel = grpc.insecure_channel(self.target)
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.run(self.app.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def usage(self) -> dict[str, int]:
        """Requests and slots that the workers hold."""
        return self.run(self.app.engine.usage())

    def metrics(self) -> dict[str, float]:
        """The metrics page, by sample name with labels."""
        import urllib.request

        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.app.metrics_port}/metrics", timeout=10
        ) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}
