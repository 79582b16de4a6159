"""Files of API keys, and the keys that are in them."""

from collections.abc import Mapping
from pathlib import Path

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
