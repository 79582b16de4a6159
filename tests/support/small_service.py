"""ConceptService over a small pack on a real socket: all but the engine and the device."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, Self

import grpc
from prometheus_client import CollectorRegistry

from support.small_pack import HIDDEN, SITES, small_pack, small_registry
from vagus.v1 import concept_service_pb2_grpc
from vagus_server.access.access import Access
from vagus_server.access.audit import Audit
from vagus_server.access.keys import Keys
from vagus_server.concepts.store import Store
from vagus_server.metrics.metrics import Metrics
from vagus_server.plugin.config import PluginConfig
from vagus_server.services.concept import ConceptService
from vagus_server.services.interceptor import CallInterceptor
from vagus_server.services.served import Limits, Served


class SmallService:
    """Runs while the block does; `channel` speaks to it.

    Args:
        store: keeps uploads.
        rows: of the vector bank, with row 0.
        keys: of those who may call; None lets everybody.
        audit: takes note of uploads.
    """

    def __init__(
        self,
        store: Store | None = None,
        rows: int = 64,
        keys: Keys | None = None,
        audit: Audit | None = None,
    ) -> None:
        self._access, self._audit = Access(keys), audit
        self.pack = small_pack()
        self.registry = small_registry(self.pack, rows=rows, store=store)
        self.bank = self.registry._bank
        self.prometheus = CollectorRegistry()
        self.metrics = Metrics(self.pack, (), "tiny", slots=1, registry=self.prometheus)
        self.metrics.watch(self.registry, self.bank.rows)
        model = SimpleNamespace(max_model_len=64, get_vocab_size=lambda: 50)
        tokenizer = SimpleNamespace(decode=str, get_vocab=lambda: {"x": 0})
        engine: Any = SimpleNamespace(
            pack=self.pack,
            plugin=PluginConfig(SITES, HIDDEN, (self.pack.readout_site,), len(self.pack.names)),
            llm=SimpleNamespace(
                vllm_config=SimpleNamespace(model_config=model), get_tokenizer=lambda: tokenizer
            ),
        )
        self._served = Served("tiny", engine, self.metrics, Limits(), self.registry)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def run(self, coroutine: Any) -> Any:
        """Runs a coroutine on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> int:
        interceptor = CallInterceptor(self.metrics, self._access, self._audit)
        self._server = grpc.aio.server(interceptors=[interceptor])
        self.concept_service = ConceptService(self._served)
        concept_service_pb2_grpc.add_ConceptServiceServicer_to_server(
            self.concept_service, self._server
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        await self._server.start()
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.run(self._start())}")
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.run(self._server.stop(1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def sample(self, name: str, **labels: str) -> float:
        """A metric's value."""
        value = self.prometheus.get_sample_value(name, labels)
        assert value is not None, name
        return value
