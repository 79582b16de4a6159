"""Builds the gRPC server and runs everything from start to stop."""

import asyncio
import logging
import math
import signal
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from vagus.v1 import (
    concept_service_pb2,
    concept_service_pb2_grpc,
    generation_service_pb2,
    generation_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
    policy_service_pb2,
    policy_service_pb2_grpc,
    readout_service_pb2,
    readout_service_pb2_grpc,
)
from vagus_server.access.access import Access
from vagus_server.access.audit import Audit
from vagus_server.access.certificates import Certificates
from vagus_server.access.keys import Keys
from vagus_server.access.listen import address, check_host, is_loopback
from vagus_server.access.metrics_page import MetricsPage
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.registry import Registry
from vagus_server.concepts.store import Store, Stored
from vagus_server.engine.canary import run_canary
from vagus_server.engine.engine import Engine
from vagus_server.engine.settings import EngineSettings
from vagus_server.health import Health
from vagus_server.metrics.metrics import Metrics
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.pack import Pack, PackError
from vagus_server.policies.file import MONITOR
from vagus_server.services.answer import MAX_MESSAGE_BYTES
from vagus_server.services.calls import Calls
from vagus_server.services.concept import ConceptService
from vagus_server.services.generation import GenerationService
from vagus_server.services.interceptor import CallInterceptor
from vagus_server.services.model import ModelService
from vagus_server.services.policy import PolicyService
from vagus_server.services.readout import ReadoutService
from vagus_server.services.served import Limits, Served
from vagus_server.watch import Watch

logger = logging.getLogger("vagus.server")

_FILES = (
    generation_service_pb2,
    readout_service_pb2,
    concept_service_pb2,
    model_service_pb2,
    policy_service_pb2,
)
SERVICE_NAMES = tuple(
    service.full_name for f in _FILES for service in f.DESCRIPTOR.services_by_name.values()
)
#: For statuses to leave, once every call has been ended.
_GRACE_SECONDS = 1.0
#: How often the file of policies is looked at.
_POLICY_SECONDS = 1.0
#: Requests in the engine for each row of its batch: those ahead fill a row that comes free.
_PLACES_PER_ROW = 1.25
#: Calls at once on one connection; further ones wait at the client.
_MAX_STREAMS = 4096

#: Exit codes (docs/production.md).
STOPPED, ENGINE_LOST, HANDED_BACK = 0, 3, 4


@dataclass(frozen=True)
class ServerSettings:
    """Where and how to serve.

    Args:
        host: address to listen on; beyond loopback only with certificates or `insecure`.
        port: gRPC port; 0 takes a free one.
        metrics_port: Prometheus port; 0 takes a free one; None serves none.
        metrics_host: its address, under the same rule.
        insecure: listen beyond loopback in plaintext.
        certificates: of this server; None speaks plaintext.
        keys: file of API keys; None lets everybody call, as the tenant that they say.
        audit_log: file that takes note of what is steered and uploaded; None takes none.
        audit_texts: write prompts there as well.
        metric_concepts: concepts that get series; empty takes all of the pack.
        metric_tenants: tenants that get series of their own; empty takes the first 16.
        limits: see Limits.
        state: folder that keeps uploaded concepts over a restart; None keeps nothing.
        drain_seconds: what a stop leaves running requests to end by themselves.
        canary_seconds: between two canaries while the server runs; 0 runs none.
        keepalive_seconds: a connection that is silent for so long is asked whether it lives, and
            closed after as long again without an answer.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    metrics_port: int | None = 9464
    metrics_host: str = "127.0.0.1"
    insecure: bool = False
    certificates: Certificates | None = None
    keys: Path | None = None
    audit_log: Path | None = None
    audit_texts: bool = False
    metric_concepts: tuple[str, ...] = ()
    metric_tenants: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    state: Path | None = None
    policies: Path | None = MONITOR
    drain_seconds: float = 30.0
    canary_seconds: float = 60.0
    keepalive_seconds: float = 30.0


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


def build_server(
    served: Served,
    calls: Calls,
    health: Health,
    keepalive_seconds: float,
    access: Access | None = None,
    audit: Audit | None = None,
) -> grpc.aio.Server:
    """The gRPC server with all services, health and reflection."""
    keepalive_ms = int(keepalive_seconds * 1000)
    interceptor = CallInterceptor(
        served.metrics, access, audit, calls, served.limits.slow_reader_seconds
    )
    server = grpc.aio.server(
        interceptors=[interceptor],
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
            ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
            # Two servers on one port would share its calls at random.
            ("grpc.so_reuseport", 0),
            ("grpc.max_concurrent_streams", _MAX_STREAMS),
            # Finds connections whose other end has gone without a word, or has stopped.
            ("grpc.keepalive_time_ms", keepalive_ms),
            # The timeout of keepalive alone changes nothing while that of pings is 60 s.
            ("grpc.keepalive_timeout_ms", keepalive_ms),
            ("grpc.http2.ping_timeout_ms", keepalive_ms),
            ("grpc.http2.max_pings_without_data", 0),
            # What clients may ask in turn.
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
    policy_service_pb2_grpc.add_PolicyServiceServicer_to_server(PolicyService(served), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    reflection.enable_server_reflection(
        (
            *SERVICE_NAMES,
            health_pb2.DESCRIPTOR.services_by_name["Health"].full_name,
            reflection.SERVICE_NAME,
        ),
        server,
    )
    return server


class App:
    """A server: `start`, then either `run` until it ends, or `stop`."""

    def __init__(
        self, name: str, engine_settings: EngineSettings, settings: ServerSettings, pack: Pack
    ) -> None:
        self._name = name
        self._engine_settings = engine_settings
        self.settings = settings
        self._pack = pack
        self._metrics_page: MetricsPage | None = None
        self._store: Store | None = None
        self._stopping, self._hurry = asyncio.Event(), asyncio.Event()
        self.health = Health(SERVICE_NAMES)
        self.calls = Calls()

    async def start(self) -> None:
        """Starts the engine, proves that it steers, and only then listens and is healthy."""
        settings = self.settings
        certificates, insecure = settings.certificates, settings.insecure
        check_host(settings.host, "--host", certificates, insecure)
        if settings.metrics_port is not None:
            check_host(settings.metrics_host, "--metrics-host", certificates, insecure)
        # What is wrong with a file shows before the engine takes its time.
        self._access = Access(Keys(settings.keys) if settings.keys else None)
        self._audit = (
            Audit(settings.audit_log, texts=settings.audit_texts) if settings.audit_log else None
        )
        self._credentials = certificates.credentials() if certificates else None
        if not (is_loopback(settings.host) or settings.keys):
            logger.warning("no --keys: whoever reaches %s can use this server", settings.host)
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
        rows = engine.llm.vllm_config.scheduler_config.max_num_seqs * engine.ranks
        places = math.ceil(rows * _PLACES_PER_ROW)
        self.served = Served(
            self._name, engine, metrics, settings.limits, registry, places, settings.policies
        )
        metrics.watch_flow(self.served.admission, self.health)
        self._watch = Watch(engine, self.health, metrics, settings.canary_seconds)
        await self.health.start()
        keepalive = settings.keepalive_seconds
        self.server = build_server(
            self.served, self.calls, self.health, keepalive, self._access, self._audit
        )
        where = address(settings.host, settings.port)
        if self._credentials is None:
            self.port = self.server.add_insecure_port(where)
        else:
            self.port = self.server.add_secure_port(where, self._credentials)
        self.metrics_port: int | None = None
        if settings.metrics_port is not None:
            self._metrics_page = MetricsPage(
                settings.metrics_host, settings.metrics_port, self._access, settings.certificates
            )
            self.metrics_port = self._metrics_page.port
        await self.server.start()
        await self.health.alive(True)
        await self.health.ready(True)

    async def run(self) -> int:
        """Serves until a signal, or the loss of the engine; stops; returns the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_signal)
        watch = asyncio.create_task(self._watch.until_lost())
        stopping = asyncio.create_task(self._stopping.wait())
        policies = asyncio.create_task(self._keep_policies())
        await asyncio.wait({watch, stopping}, return_when=asyncio.FIRST_COMPLETED)
        lost = watch.done()
        watch.cancel()
        stopping.cancel()
        policies.cancel()
        if lost:
            await self.health.alive(False)
            self._hurry.set()
        finished = await self.stop()
        return ENGINE_LOST if lost else STOPPED if finished else HANDED_BACK

    async def _keep_policies(self) -> None:
        while True:
            await asyncio.sleep(_POLICY_SECONDS)
            self.served.refresh_policies()

    def _on_signal(self) -> None:
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    async def stop(self) -> bool:
        """Takes no new calls, gives the running ones time, ends the others, stops everything.

        Returns whether all calls had ended by themselves.
        """
        await self.health.stop()
        self.calls.close()
        finished = await self._drained()
        if not finished:
            logger.warning("%d calls are handed back unfinished", self.calls.hand_back())
            await self.calls.wait_empty(_GRACE_SECONDS)
        await self.server.stop(_GRACE_SECONDS)
        if self._metrics_page is not None:
            self._metrics_page.close()
        self.engine.shutdown()
        self._close_store()
        return finished

    async def _drained(self) -> bool:
        """Waits for the calls to end; False when time, or the operator's patience, ends first."""
        seconds = self.settings.drain_seconds
        logger.info("stopping; %d calls have %g seconds to end", len(self.calls), seconds)
        empty = asyncio.create_task(self.calls.wait_empty(seconds))
        hurry = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({empty, hurry}, return_when=asyncio.FIRST_COMPLETED)
        empty.cancel()
        hurry.cancel()
        return not self.calls
