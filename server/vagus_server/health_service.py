"""The standard health service (grpc.health.v1), whose watchers cannot hold it up.

grpcio's own waits for every watcher before a status counts, and forgets all watchers of a name
when one of them leaves.
"""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from vagus_server.errors import ApiError
from vagus_server.services.context import ServicerContext
from vagus_server.services.pace import Writer

#: Anybody may watch, without a key, for as long as they like.
MOST_WATCHERS = 1024
#: A watcher's request is kept while it watches.
_MOST_BYTES = 1024
#: How long a watcher may take nothing.
_SLOW_SECONDS = 60.0

_Response = health_pb2.HealthCheckResponse


class HealthService(health_pb2_grpc.HealthServicer):
    """Tells the status of names. To set one waits for nobody."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        #: Of each watcher what wakes it.
        self._watchers: set[asyncio.Event] = set()

    def set(self, name: str, status: int) -> None:
        """The status of a name from now on. Watchers hear of the newest when they listen."""
        self._statuses[name] = status
        for changed in self._watchers:
            changed.set()

    @property
    def watchers(self) -> int:
        """How many watch."""
        return len(self._watchers)

    async def Check(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        """The status of a name that there is; NOT_FOUND for others."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return _Response(status=status)

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, context: ServicerContext
    ) -> None:
        """The status of a name, and the newest again whenever it has changed."""
        if request.ByteSize() > _MOST_BYTES:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the name is too long")
        if self.watchers >= MOST_WATCHERS:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED, f"{MOST_WATCHERS} others are watching"
            )
        changed = asyncio.Event()
        self._watchers.add(changed)
        try:
            await self._tell(request.service, changed, context)
        except ApiError as error:
            await context.abort(error.code, error.message)
        finally:
            self._watchers.remove(changed)

    async def _tell(self, name: str, changed: asyncio.Event, context: ServicerContext) -> None:
        told = None
        async with Writer(context, _SLOW_SECONDS) as writer:
            while True:
                # What changes while the message goes out wakes us at once.
                changed.clear()
                status = self._statuses.get(name, _Response.SERVICE_UNKNOWN)
                if status != told:
                    await writer.write(_Response(status=status))
                    told = status
                await changed.wait()
