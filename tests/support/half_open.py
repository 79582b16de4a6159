"""A TCP proxy that can fall silent: both ends stay connected and hear nothing any more."""

import contextlib
import select
import socket
import threading
from typing import Self


class HalfOpen:
    """Passes one connection on to the target until `freeze`; `target` is its own address."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._frozen = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._thread.join(10)
        self._listener.close()

    def freeze(self) -> None:
        """From now on nothing passes, not even a reset."""
        self._frozen.set()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        with client, socket.create_connection(self._to) as server:
            other = {client: server, server: client}
            while not self._frozen.is_set() and not self._closing.is_set():
                for readable in select.select(list(other), (), (), 0.05)[0]:
                    with contextlib.suppress(OSError):
                        other[readable].sendall(readable.recv(1 << 16))
            self._closing.wait()
