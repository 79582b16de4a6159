"""A grpc.aio server in a thread of its own, so that a test can call it with a blocking channel."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Self

import grpc


class AioServer:
    """Serves generic handlers on loopback while the block runs; `target` is its address.

    Args:
        handlers: of the calls.
        interceptors: before them.
        credentials: of the server; None speaks plaintext.
    """

    def __init__(
        self,
        handlers: Sequence[grpc.GenericRpcHandler],
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._handlers, self._interceptors = handlers, interceptors
        self._credentials = credentials
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _start(self) -> int:
        self._server = grpc.aio.server(interceptors=self._interceptors)
        self._server.add_generic_rpc_handlers(self._handlers)
        if self._credentials is None:
            port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            port = self._server.add_secure_port("127.0.0.1:0", self._credentials)
        await self._server.start()
        return port

    def __enter__(self) -> Self:
        self._thread.start()
        self.target = f"127.0.0.1:{self._run(self._start())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._server.stop(1))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
