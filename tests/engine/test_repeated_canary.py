"""The canary on a server that runs: beside its traffic, and on a device that reads wrongly."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.calls import add, generate, ids, spec, stream
from support.waiting import wait_for

pytestmark = pytest.mark.engine

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def canaries(server: Any) -> Iterator[None]:
    """Canaries without a pause, while the block runs."""
    from vagus_server.watch import Watch

    app = server.app
    watch = Watch(app.engine, app.health, app.served.metrics, canary_seconds=0.01)
    watching = server.begin(watch.until_lost())
    try:
        yield
    finally:
        watching.cancel()


def count(server: Any, outcome: str) -> float:
    return server.metrics()[f'vagus_canaries_total{{outcome="{outcome}"}}']


def read_rows(server: Any, turn: int) -> None:
    """Lets the device read the pack's concepts, each in the column `turn` further on."""
    engine = server.app.engine
    vectors = [concept.vectors for concept in engine.concepts.values()]

    async def put() -> None:
        async with engine.bank.holding(vectors) as row_of:
            rows = [row_of[v.digest] for v in vectors]
            await engine._rpc("vagus_put_readout_vectors", rows[turn:] + rows[:turn])

    server.run(put())


def test_canaries_pass_beside_traffic(server: Any) -> None:
    call = stream(server.channel, spec("Once", add("desperate", 0.2), max_tokens=900))
    next(call)
    passed, failed = count(server, "passed"), count(server, "failed")
    with canaries(server):
        wait_for(lambda: count(server, "passed") >= passed + 2, "two canaries", 120)
    call.cancel()
    assert count(server, "failed") == failed


def test_a_device_that_reads_wrongly_is_not_ready_until_it_reads_well(server: Any) -> None:
    health = health_pb2_grpc.HealthStub(server.channel)
    request = health_pb2.HealthCheckRequest(service="vagus.v1.GenerationService")
    watch = health.Watch(request, timeout=300)
    assert next(watch).status == SERVING
    with canaries(server):
        read_rows(server, 1)
        assert next(watch).status == NOT_SERVING
        assert server.metrics()["vagus_ready"] == 0
        alive = health.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=60)
        assert alive.status == SERVING
        read_rows(server, 0)
        assert next(watch).status == SERVING
    assert server.metrics()["vagus_ready"] == 1
    watch.cancel()
    assert len(ids(generate(server.channel, spec("Hi", max_tokens=2)))) == 2
