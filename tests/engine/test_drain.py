"""A stop under load: accepted requests end as if nothing were, new ones are refused."""

import signal
from concurrent.futures import ThreadPoolExecutor

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.calls import add, generate, ids, spec, stream
from support.refusals import Refusal, check, refused
from support.server_process import ServerProcess
from support.waiting import wait_for

pytestmark = pytest.mark.engine

STOPPING = Refusal(grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
#: More than the two rows of the batch and the places before it hold: some wait in the queue.
LOAD = 6


def test_a_drain_loses_no_accepted_request(model_folder: object) -> None:
    with (
        ServerProcess(
            *("--eager", "--max-model-len", "2048", "--max-running", "2"),
            *("--drain-seconds", "600", "--max-wait", "600", "--metric-concepts", "calm"),
        ) as server,
        ThreadPoolExecutor(LOAD) as pool,
    ):

        def accepted() -> float:
            metrics = server.metrics()
            return sum(metrics[f"vagus_requests_{n}"] for n in ("running", "waiting", "queued"))

        health = health_pb2_grpc.HealthStub(server.channel)
        watches = {
            name: health.Watch(health_pb2.HealthCheckRequest(service=name), timeout=600)
            for name in ("readiness", "vagus.v1.GenerationService")
        }
        for watch in watches.values():
            assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        endless = stream(server.channel, spec("Once upon a time", max_tokens=2000))
        next(endless)
        load = [
            pool.submit(generate, server.channel, spec(f"No. {n}", add("calm", 0.1), max_tokens=12))
            for n in range(LOAD)
        ]
        wait_for(lambda: accepted() == LOAD + 1, "all to be accepted")
        assert server.metrics()["vagus_requests_queued"] > 0, "nothing waits in the queue"

        # As a terminal does on Ctrl-C: to every process at once.
        process = psutil.Process(server.process.pid)
        for each in (process, *process.children(recursive=True)):
            each.send_signal(signal.SIGINT)
        for watch in watches.values():
            assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        alive = health.Check(health_pb2.HealthCheckRequest(service="liveness"), timeout=60)
        assert alive.status == health_pb2.HealthCheckResponse.SERVING
        check(refused(lambda: generate(server.channel, spec("Hi"))), STOPPING, {})
        with grpc.insecure_channel(server.target) as another:
            check(refused(lambda: generate(another, spec("Hi"))), STOPPING, {})
        assert [len(ids(future.result())) for future in load] == [12] * LOAD
        next(endless)

        server.process.send_signal(signal.SIGTERM)
        check(refused(lambda: list(endless)), STOPPING, {})
        assert server.process.wait(60) == 4
