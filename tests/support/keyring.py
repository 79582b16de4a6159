"""Files of API keys, and the keys that are in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc

from vagus_server.access.keys import new_key
from vagus_server.access.scopes import Scope


class KeyFile:
    """A file with a key for each of some (tenant, scope); `key` gives it."""

    def __init__(
        self,
        path: Path,
        tenants: tuple[str, ...] = ("acme", "globex"),
        limits: Mapping[str, Mapping[str, float]] | None = None,
    ) -> None:
        self.path = path
        self._keys: dict[tuple[str, str], str] = {}
        self._entries: dict[tuple[str, str], str] = {}
        for tenant in tenants:
            for scope in Scope:
                self._keys[tenant, scope], entry = new_key(tenant, [scope], None)
                self._entries[tenant, scope] = entry
        self.write(limits or {})

    def write(self, limits: Mapping[str, Mapping[str, float]], without: str = "") -> None:
        """Writes the file with these limits by tenant, and without one tenant's keys."""
        entries = [e for (tenant, _), e in self._entries.items() if tenant != without]
        for tenant, values in limits.items():
            lines = [f"{name} = {value}" for name, value in values.items()]
            entries.append("\n".join([f"[tenants.{tenant}]", *lines, ""]))
        self.path.write_text("\n".join(entries))

    def key(self, tenant: str, scope: str = "admin") -> str:
        return self._keys[tenant, scope]

    def metadata(self, tenant: str, scope: str = "admin") -> tuple[tuple[str, str], ...]:
        """What a call with the key says."""
        return bearer(self.key(tenant, scope))


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


class _Adding(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
):
    def __init__(self, metadata: tuple[tuple[str, str], ...]) -> None:
        self._metadata = metadata

    def _go_on(self, continuation: Any, details: Any, request: Any) -> Any:
        metadata = (*(details.metadata or ()), *self._metadata)
        return continuation(details._replace(metadata=metadata), request)

    intercept_unary_unary = _go_on
    intercept_unary_stream = _go_on
    intercept_stream_unary = _go_on


def adding(channel: grpc.Channel, metadata: tuple[tuple[str, str], ...]) -> grpc.Channel:
    """The channel with metadata that go with every call."""
    return grpc.intercept_channel(channel, _Adding(metadata))
