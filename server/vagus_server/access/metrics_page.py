"""`/metrics` over HTTP. It is of all tenants, so it is the operator's alone.

Where there are API keys it takes one with the scope admin; where there are certificates it
speaks TLS with them, and asks for a client's just as gRPC does.
"""

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer

from vagus_server.access.access import Access
from vagus_server.access.certificates import Certificates
from vagus_server.access.scopes import Scope
from vagus_server.errors import ApiError
from vagus_server.metrics.page import metrics_app
from vagus_server.reload import Reloaded

logger = logging.getLogger("vagus.server")

#: A client that says nothing for so long is cut off.
_TIMEOUT_SECONDS = 10.0


class MetricsPage:
    """Serves the page in a thread until it is closed.

    Args:
        host, port: where; port 0 takes a free one.
        access: knows the keys; one without keys lets everybody in.
        certificates: of the server; None speaks plaintext.
        registry: what is on the page.
    """

    def __init__(
        self,
        host: str,
        port: int,
        access: Access,
        certificates: Certificates | None = None,
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        tls = None
        if certificates is not None:
            tls = Reloaded(certificates.files, certificates.context).current

        class Server(_Server):
            address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
            context = staticmethod(tls) if tls is not None else None

        page = _guarded(metrics_app(registry), access)
        self._server = make_server(host, port, page, Server, _Silent)
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


def _guarded(page: Callable[..., Any], access: Access) -> Callable[..., Any]:
    def answer(environment: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        status = _refusal(environment, access)
        if status is None:
            return page(environment, start)
        headers = [("Content-Type", "text/plain"), ("WWW-Authenticate", "Bearer")]
        start(status, headers)
        return [f"{status}\n".encode()]

    return answer


def _refusal(environment: dict[str, Any], access: Access) -> str | None:
    if not access.wants_keys:
        return None
    given = environment.get("HTTP_AUTHORIZATION")
    try:
        key = access.key([] if given is None else [given])
    except ApiError:
        return "401 Unauthorized"
    return None if Scope.ADMIN in key.scopes else "403 Forbidden"


class _Server(ThreadingWSGIServer):
    #: The TLS settings of now; None speaks plaintext.
    context: Callable[[], ssl.SSLContext] | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the request's own thread: a client that stalls its handshake holds up nobody.
        request.settimeout(_TIMEOUT_SECONDS)
        if self.context is None:
            super().finish_request(request, client_address)
            return
        with self.context().wrap_socket(request, server_side=True) as encrypted:
            super().finish_request(encrypted, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("the metrics page: %s of %s", request, client_address, exc_info=True)


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass
