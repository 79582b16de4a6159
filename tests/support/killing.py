"""Kill -9 of one of an engine's processes, in the middle of answers."""

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.calls import spec, stream
from support.refusals import Refusal, check, refused
from support.server_process import ServerProcess

_DEAD = Refusal(grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")


def kill_of_the_engine(
    server: ServerProcess, title: str, *, calls: int, running: int, tokens: int
) -> None:
    """Every call gets a status, readiness goes, the exit code says why, and no process stays.

    Args:
        title: a part of the title that one of its processes has.
        calls: how many are open.
        running: how many of them have their first tokens by then.
        tokens: that each asks for; more than there is time for.
    """
    processes = psutil.Process(server.process.pid).children(recursive=True)
    (victim,) = (p for p in processes if title in p.name() + " ".join(p.cmdline()))
    health = health_pb2_grpc.HealthStub(server.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest(service="readiness"), timeout=300)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    asked = [spec(f"Number {n}", max_tokens=tokens) for n in range(calls)]
    streams = [stream(server.channel, request) for request in asked]
    for call in streams[:running]:
        next(call)
    victim.kill()
    for call in streams:
        check(refused(lambda: list(call)), _DEAD, {})  # noqa: B023
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.process.wait(60) == 3
    _, alive = psutil.wait_procs(processes, 30)
    assert not alive
