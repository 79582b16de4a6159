"""Runs everything, from start to stop."""

import asyncio
import logging
import math
import signal
from pathlib import Path

from vagus_server.access.access import Access
from vagus_server.access.audit import Audit
from vagus_server.access.keys import Keys
from vagus_server.access.listen import address, check_host, is_loopback
from vagus_server.access.metrics_page import MetricsPage
from vagus_server.concepts.parse import Shape
from vagus_server.concepts.registry import Registry
from vagus_server.concepts.store import Store, Stored
from vagus_server.engine.canary import run_canary
from vagus_server.engine.engine import Engine
from vagus_server.engine.settings import EngineSettings
from vagus_server.grpc_server import SERVICE_NAMES, build_server
from vagus_server.health import Health
from vagus_server.metrics.metrics import Metrics
from vagus_server.models.fingerprint import model_fingerprint
from vagus_server.packs.pack import Pack, PackError
from vagus_server.services.calls import Calls
from vagus_server.services.served import Served
from vagus_server.settings import ServerSettings
from vagus_server.watch import Watch

logger = logging.getLogger("vagus.server")

#: For statuses to leave, once every call has been ended.
_GRACE_SECONDS = 1.0
#: How often the file of policies is looked at.
_POLICY_SECONDS = 1.0
#: Requests in the engine for each row of its batch: those ahead fill a row that comes free.
_PLACES_PER_ROW = 1.25

#: Exit codes (docs/production.md).
STOPPED, ENGINE_LOST, HANDED_BACK = 0, 3, 4


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
