"""Health over a real socket, and what flips it: a canary that fails, an engine that dies."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hyperframe.frame import SettingsFrame
from prometheus_client import CollectorRegistry

from support.hostile_frames import PREFACE, data, headers, message, start
from support.small_pack import small_pack
from vagus_server import health_service, watch
from vagus_server.engine.canary import CanaryFailed
from vagus_server.engine.engine import Engine as RealEngine
from vagus_server.engine.failures import EngineUnavailable
from vagus_server.health import Health
from vagus_server.health_service import HealthService
from vagus_server.metrics.metrics import Metrics
from vagus_server.plugin.config import PluginConfig

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
SERVICE = "vagus.v1.GenerationService"
READY_NAMES = ("", "readiness", SERVICE)


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Health, Any, int]]:
    """A server with nothing but health, a stub and its port."""
    health, server = Health([SERVICE]), grpc.aio.server()
    await health.start()
    health_pb2_grpc.add_HealthServicer_to_server(health.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health, health_pb2_grpc.HealthStub(channel), port
    await server.stop(0)


async def statuses(stub: Any) -> tuple[set[int], int]:
    """Of readiness under all its names, and of liveness."""

    async def check(name: str) -> int:
        request = health_pb2.HealthCheckRequest(service=name)
        return (await stub.Check(request, timeout=30)).status

    return {await check(name) for name in READY_NAMES}, await check("liveness")


def test_readiness_and_liveness_by_name() -> None:
    async def scenario() -> None:
        async with served() as (health, stub, _):
            assert await statuses(stub) == ({NOT_SERVING}, NOT_SERVING)
            await health.alive(True)
            await health.ready(True)
            assert await statuses(stub) == ({SERVING}, SERVING)
            await health.ready(False)
            assert await statuses(stub) == ({NOT_SERVING}, SERVING)
            await health.ready(True)
            await health.stop()
            await health.ready(True)  # a canary that passes while the server drains
            assert await statuses(stub) == ({NOT_SERVING}, SERVING)
            assert not health.is_ready
            with pytest.raises(grpc.RpcError) as caught:
                await stub.Check(health_pb2.HealthCheckRequest(service="no.such"), timeout=30)
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    asyncio.run(scenario())


def test_watchers_see_every_change() -> None:
    async def scenario() -> None:
        async with served() as (health, stub, _):
            call = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=30)
            seen = [(await call.read()).status]
            for ready in (True, False, True):
                await health.ready(ready)
                seen.append((await call.read()).status)
            assert seen == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]

    asyncio.run(scenario())


async def watching(health: Health, watchers: int) -> None:
    """Returns when so many watch."""
    async with asyncio.timeout(30):
        while health.servicer.watchers != watchers:
            await asyncio.sleep(0.001)


def watch_call(stub: Any, name: str) -> Any:
    return stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60)


def at_once(change: Coroutine[Any, Any, None]) -> None:
    """It is done without a turn of the loop: there is nothing that it could wait for."""
    with pytest.raises(StopIteration):
        change.send(None)


#: Watches readiness, and has no room for a single byte of what it is told.
STALLED = (
    PREFACE
    + SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize()
    + start(headers("/grpc.health.v1.Health/Watch"))
    + data(message(), "END_STREAM")
)


def test_a_watcher_that_takes_nothing_holds_up_nobody() -> None:
    async def scenario() -> None:
        async with served() as (health, stub, port):
            other = watch_call(stub, "")
            assert (await other.read()).status == NOT_SERVING
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(STALLED)
            await watching(health, 2)
            await asyncio.sleep(0.01)  # it is told, and does not take it
            at_once(health.ready(True))
            assert (await other.read()).status == SERVING
            at_once(health.alive(False))
            at_once(health.stop())
            assert (await other.read()).status == NOT_SERVING
            writer.close()
            await watching(health, 1)

    asyncio.run(scenario())


def test_when_one_watcher_leaves_the_others_still_hear() -> None:
    async def scenario() -> None:
        async with served() as (health, stub, _):
            one, other = (watch_call(stub, SERVICE) for _ in range(2))
            assert [(await call.read()).status for call in (one, other)] == [NOT_SERVING] * 2
            one.cancel()
            await watching(health, 1)
            await health.ready(True)
            assert (await other.read()).status == SERVING

    asyncio.run(scenario())


def test_a_slow_watcher_hears_the_newest_alone() -> None:
    async def scenario() -> None:
        told, room = list[int](), asyncio.Semaphore(0)

        class Context:
            async def write(self, response: Any) -> None:
                await room.acquire()
                told.append(response.status)

        service = HealthService()
        service.set("", NOT_SERVING)
        request: Any = health_pb2.HealthCheckRequest()
        call = asyncio.create_task(service.Watch(request, Context()))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        for _ in range(3):
            service.set("", SERVING)
            service.set("", NOT_SERVING)
        service.set("", SERVING)
        for _ in range(3):
            room.release()
            await asyncio.sleep(0.01)
        assert told == [NOT_SERVING, SERVING]
        call.cancel()

    asyncio.run(scenario())


def test_names_that_are_not_there_are_watched_and_too_long_ones_are_not() -> None:
    async def scenario() -> None:
        async with served() as (health, stub, _):
            unknown = watch_call(stub, "no.such")
            assert (await unknown.read()).status == SERVICE_UNKNOWN
            health.servicer.set("no.such", SERVING)
            assert (await unknown.read()).status == SERVING
            with pytest.raises(grpc.RpcError) as caught:
                await watch_call(stub, "x" * 2000).read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    asyncio.run(scenario())


def test_only_so_many_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_service, "MOST_WATCHERS", 2)

    async def scenario() -> None:
        async with served() as (health, stub, _):
            calls = [watch_call(stub, "") for _ in range(2)]
            for call in calls:
                await call.read()
            with pytest.raises(grpc.RpcError) as caught:
                await watch_call(stub, "").read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            calls[0].cancel()
            await watching(health, 1)
            assert (await watch_call(stub, "").read()).status == NOT_SERVING

    asyncio.run(scenario())


class Engine:
    """What the watch looks at."""

    def __init__(self) -> None:
        self.healthy = True
        self.sinks: Any = SimpleNamespace(readout_bytes=0)
        self.passes = 0

    async def usage(self) -> dict[str, int]:
        return {"requests": 1, "slots": 2}


def watched(
    monkeypatch: pytest.MonkeyPatch,
    canary: Callable[[Engine], Awaitable[None]],
    scenario: Callable[[Engine, Health, CollectorRegistry], Awaitable[None]],
    stuck_seconds: float = 30,
) -> None:
    """Runs the scenario beside a watch, which must have given the engine up at its end."""
    monkeypatch.setattr(watch, "run_canary", canary)
    monkeypatch.setattr(watch, "_LOOK_SECONDS", 0.01)

    async def run() -> None:
        engine, health, registry = Engine(), Health([SERVICE]), CollectorRegistry()
        metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=registry)
        await health.ready(True)
        watching: Any = watch.Watch(engine, health, metrics, 0.001, stuck_seconds)  # type: ignore[arg-type]
        lost = asyncio.create_task(watching.until_lost())
        async with asyncio.timeout(30):
            await scenario(engine, health, registry)
            await lost

    asyncio.run(run())


def test_readiness_follows_the_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    results: asyncio.Queue[Exception | None] = asyncio.Queue()

    async def canary(engine: Engine) -> None:
        result = await results.get()
        if result is not None:
            raise result

    async def scenario(engine: Engine, health: Health, registry: CollectorRegistry) -> None:
        for result, ready in (
            (None, True),
            (CanaryFailed("readouts are not finite"), False),
            (RuntimeError("the request could not be run"), False),
            (None, True),
            (EngineUnavailable("dead"), True),  # told by the engine itself
        ):
            results.put_nowait(result)
            while not results.empty():
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            assert health.is_ready is ready, result
        outcomes = {
            outcome: registry.get_sample_value("vagus_canaries_total", {"outcome": outcome})
            for outcome in ("passed", "failed")
        }
        assert outcomes == {"passed": 2, "failed": 2}
        assert registry.get_sample_value("vagus_worker_requests") == 1
        engine.healthy = False

    watched(monkeypatch, canary, scenario)


class Sinks:
    """Has brought these many bytes, each time that it is asked."""

    def __init__(self, *readout_bytes: int) -> None:
        self.left = list(readout_bytes)

    @property
    def readout_bytes(self) -> int:
        return self.left.pop(0) if len(self.left) > 1 else self.left[0]


def test_an_engine_that_does_not_move_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    sinks = Sinks(0, 1, 1, 2, 2, 2)  # it moves twice: a busy engine lets the canary wait

    async def canary(engine: Engine) -> None:
        await asyncio.Event().wait()

    async def scenario(engine: Engine, health: Health, registry: CollectorRegistry) -> None:
        engine.sinks = sinks

    watched(monkeypatch, canary, scenario, stuck_seconds=0.001)
    assert sinks.left == [2]


def test_an_engine_that_computes_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt is long, and nothing else runs that would bring anything."""

    class Computing(Engine):
        left = 5

        @property
        def passes(self) -> int:
            """Each look sees another pass, until all are made."""
            self.left -= self.left > 0
            return self.left

        @passes.setter
        def passes(self, value: int) -> None:
            """The engine says itself what it has."""

    engine = Computing()

    async def canary(engine: Engine) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        monkeypatch.setattr(watch, "run_canary", canary)
        with pytest.raises(watch.EngineStuck):
            await watch.run_canary_moving(engine, 0.001)  # type: ignore[arg-type]

    asyncio.run(run())
    assert engine.left == 0, "it was given up when it had stopped"


def test_usage_is_the_greatest_and_passes_are_all(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = small_pack()
    plugin = PluginConfig(pack.sites, 8, (pack.readout_site,), len(pack.names))
    engine = RealEngine(None, plugin, pack)

    async def rpc(method: str) -> list[dict[str, int]]:
        assert method == "vagus_usage"
        return [
            {"requests": 1, "slots": 3, "passes": 10},
            {"requests": 2, "slots": 2, "passes": 4},
        ]

    monkeypatch.setattr(engine, "_rpc", rpc)
    assert asyncio.run(engine.usage()) == {"requests": 2, "slots": 3}
    assert engine.passes == 14
