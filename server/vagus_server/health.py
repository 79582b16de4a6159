"""What the standard health service (grpc.health.v1) says of this server."""

from collections.abc import Iterable

from grpc_health.v1 import health_pb2

from vagus_server.health_service import HealthService

READINESS, LIVENESS = "readiness", "liveness"

_Status = health_pb2.HealthCheckResponse


class Health:
    """Readiness under "", "readiness" and each service's name; liveness under "liveness".

    Ready means: send requests. Alive means: a restart would not help. A server that drains is
    alive and not ready. Everything begins as NOT_SERVING.

    Args:
        services: full names of the gRPC services.
    """

    def __init__(self, services: Iterable[str]) -> None:
        self.servicer = HealthService()
        self._ready_names = ("", READINESS, *services)
        self._stopping = False
        self.is_ready = False

    # Nothing below waits for anybody: neither a stop nor a canary may depend on who watches.

    async def start(self) -> None:
        """Before the server listens: nothing is served yet."""
        await self.alive(False)
        await self.ready(False)

    async def ready(self, ready: bool) -> None:
        """Whether requests are welcome. Once `stop` was called they never are again."""
        self.is_ready = ready and not self._stopping
        for name in self._ready_names:
            self._set(name, self.is_ready)

    async def alive(self, alive: bool) -> None:
        """Whether the process can still become ready by itself."""
        self._set(LIVENESS, alive)

    async def stop(self) -> None:
        """The server drains."""
        self._stopping = True
        await self.ready(False)

    def _set(self, name: str, serving: bool) -> None:
        self.servicer.set(name, _Status.SERVING if serving else _Status.NOT_SERVING)
