"""Builds the gRPC server and runs everything from start to stop."""

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection
from prometheus_client import start_http_server

from vagus.v1 import (
    concept_service_pb2,
    concept_service_pb2_grpc,
    generation_service_pb2,
    generation_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    readout_service_pb2,
    readout_service_pb2_grpc,
)
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.registry import Registry
from vagus_server.concepts.store import Store, Stored
from vagus_server.engine.canary import run_canary
from vagus_server.engine.engine import Engine
from vagus_server.engine.settings import EngineSettings
from vagus_server.metrics.metrics import Metrics
from vagus_server.metrics.page import metrics_app
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.pack import Pack, PackError
from vagus_server.services.answer import MAX_MESSAGE_BYTES
from vagus_server.services.concept import ConceptService
from vagus_server.services.generation import GenerationService
from vagus_server.services.interceptor import CallInterceptor
from vagus_server.services.model import ModelService
from vagus_server.services.readout import ReadoutService
from vagus_server.services.served import Limits, Served

logger = logging.getLogger("vagus.server")

_FILES = (
    generation_service_pb2,
    readout_service_pb2,
    concept_service_pb2,
    model_service_pb2,
)
SERVICE_NAMES = tuple(
    service.full_name for f in _FILES for service in f.DESCRIPTOR.services_by_name.values()
)
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_GRACE_SECONDS = 5.0
_WATCH_SECONDS = 1.0


@dataclass(frozen=True)
class ServerSettings:
    """Where and how to serve.

    Args:
        host: address to listen on. Beyond loopback only with `insecure`, as long as this
            server speaks plaintext alone.
        port: gRPC port; 0 takes a free one.
        metrics_port: Prometheus port on the same host; 0 takes a free one; None serves none.
        insecure: listen beyond loopback in plaintext.
        metric_concepts: concepts that get series; empty takes all of the pack.
        metric_tenants: tenants that get series of their own; empty takes the first 16.
        limits: see Limits.
        state: folder that keeps uploaded concepts over a restart; None keeps nothing.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    metrics_port: int | None = 9464
    insecure: bool = False
    metric_concepts: tuple[str, ...] = ()
    metric_tenants: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    state: Path | None = None


def load_pack_for(model: Path, folder: Path) -> Pack:
    """Loads a pack and checks that it was made for the model; raises PackError."""
    pack = Pack.load(folder)
    found = model_fingerprint(model)
    if found != pack.manifest.model.fingerprint:
        raise PackError(
            f"the pack {pack.name} was made for {pack.manifest.model.name} "
            f"({pack.manifest.model.fingerprint}); the model served is {found}"
        )
    return pack


def build_server(served: Served, metrics: Metrics) -> tuple[grpc.aio.Server, Any]:
    """The gRPC server with all services, health (NOT_SERVING at first) and reflection."""
    server = grpc.aio.server(
        interceptors=[CallInterceptor(metrics)],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # Two servers on one port would share its calls at random.
            ("grpc.so_reuseport", 0),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ],
    )
    generation_service_pb2_grpc.add_GenerationServiceServicer_to_server(
        GenerationService(served), server
    )
    readout_service_pb2_grpc.add_ReadoutServiceServicer_to_server(ReadoutService(served), server)
    concept_service_pb2_grpc.add_ConceptServiceServicer_to_server(ConceptService(served), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(served), server)
    health = health_aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection(
        (
            *SERVICE_NAMES,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        ),
        server,
    )
    return server, health


async def set_health(health: Any, serving: bool) -> None:
    """Sets the health of the server and of each service."""
    statuses = health_pb2.HealthCheckResponse
    status = statuses.SERVING if serving else statuses.NOT_SERVING
    for name in ("", *SERVICE_NAMES):
        await health.set(name, status)


class App:
    """A running server: `start`, then `wait`, then `stop`."""

    def __init__(
        self, name: str, engine_settings: EngineSettings, settings: ServerSettings, pack: Pack
    ) -> None:
        self._name = name
        self._engine_settings = engine_settings
        self.settings = settings
        self._pack = pack
        self._metrics_server: Any = None
        self._store: Store | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Starts the engine, proves that it steers, and only then listens and is healthy."""
        settings = self.settings
        if settings.host not in _LOOPBACK and not settings.insecure:
            raise ValueError(
                f"refusing to listen on {settings.host} in plaintext; use --insecure to insist"
            )
        model, stored = self._pack.manifest.model, list[Stored]()
        if settings.state is not None:
            self._store = Store(settings.state, model.fingerprint)
        try:
            if self._store is not None:
                stored = self._store.load(Shape(model.sites, model.hidden_size))
            self.engine = await Engine.start(
                self._engine_settings, self._pack, [one.concept.vectors for one in stored]
            )
            try:
                await run_canary(self.engine)
                await self._listen(stored)
            except BaseException:
                self.engine.shutdown()
                raise
        except BaseException:
            self._close_store()
            raise

    def _close_store(self) -> None:
        if self._store is not None:
            self._store.close()

    async def _listen(self, stored: list[Stored]) -> None:
        settings, pack = self.settings, self._pack
        unknown = [c for c in settings.metric_concepts if c not in pack.index]
        if unknown:
            raise ValueError(f"the pack has no concepts {unknown} to export as metrics")
        metrics = Metrics(
            pack,
            settings.metric_concepts or pack.names,
            self._name,
            self.engine.plugin.slots - 1,
            tenants=settings.metric_tenants,
        )
        metrics.canary(passed=True)  # nothing listens before it has
        engine = self.engine
        registry = Registry(pack, engine.concepts, engine.bank, self._store, stored)
        metrics.watch(registry, engine.bank.rows)
        self.served = Served(self._name, engine, metrics, settings.limits, registry)
        self.server, self.health = build_server(self.served, metrics)
        self.port = self.server.add_insecure_port(f"{settings.host}:{settings.port}")
        self.metrics_port: int | None = None
        if settings.metrics_port is not None:
            self._metrics_server, _ = start_http_server(settings.metrics_port, settings.host)
            self._metrics_server.set_app(metrics_app())
            self.metrics_port = self._metrics_server.server_port
        await self.server.start()
        await set_health(self.health, True)

    async def wait(self) -> int:
        """Serves until a signal (0) or the engine's death (1); the return is the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stopping.set)
        while not self._stopping.is_set():
            if not self.engine.healthy:
                logger.error("the engine has died")
                await set_health(self.health, False)
                return 1
            await self._report_usage()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), timeout=_WATCH_SECONDS)
        return 0

    async def _report_usage(self) -> None:
        # A dead engine is seen by the next look at its health.
        with contextlib.suppress(Exception):
            usage = await self.engine.usage()
            self.served.metrics.worker(usage["requests"], usage["slots"])

    async def stop(self) -> None:
        """Drains for a grace time, then stops everything."""
        await self.health.enter_graceful_shutdown()
        await self.server.stop(_GRACE_SECONDS)
        if self._metrics_server is not None:
            self._metrics_server.shutdown()
            self._metrics_server.server_close()
        self.engine.shutdown()
        self._close_store()
