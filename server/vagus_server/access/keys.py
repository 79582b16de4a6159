"""The file of API keys. It holds their digests, so whoever reads it cannot call with it.

A key is 32 random bytes. A fast digest is enough for that: slow ones (scrypt, argon2) make
guessing dear where there is something to guess, and nobody can try 2^256 keys. A slow one would
let anybody without a key spend the server's time instead.
"""

import datetime
import hashlib
import secrets
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from vagus_server.access.scopes import Scope
from vagus_server.reload import Reloaded

#: Scanners for leaked secrets can look for it.
_PREFIX = "vagus_"

Tenant = Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x7e]{1,128}$")]
Positive = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class KeysError(ValueError):
    """The file of keys cannot be used; the message says why."""


class TenantLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tenant may use; None is without a limit.

    Args:
        requests_per_second: calls, of any kind.
        tokens_per_minute: prompt and generated tokens.
        concurrency: calls, running and waiting; each continuation and text to read is one.
        max_dose: greatest dose of a program, if below the server's.
        max_concepts: concepts that it can have uploaded.
    """

    requests_per_second: Positive | None = None
    tokens_per_minute: Count | None = None
    concurrency: Count | None = None
    max_dose: Positive | None = None
    max_concepts: Annotated[int, msgspec.Meta(ge=0)] | None = None


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One key: its SHA-256 (hexadecimal), whose it is, and what it may do."""

    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    tenant: Tenant
    scopes: Annotated[frozenset[Scope], msgspec.Meta(min_length=1)]
    expires: Annotated[datetime.datetime, msgspec.Meta(tz=True)] | None = None

    @property
    def id(self) -> str:
        """Names the key in logs."""
        return self.sha256[:12]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: list[Key] = []
    tenants: dict[Tenant, TenantLimits] = {}
    default: TenantLimits = TenantLimits()


class _Loaded(NamedTuple):
    keys: dict[str, Key]
    tenants: dict[str, TenantLimits]
    default: TenantLimits


class Keys:
    """The keys of a file, read anew when it has changed. Raises KeysError at the start."""

    def __init__(self, path: Path) -> None:
        self._file = Reloaded([path], lambda: _read(path))

    def find(self, key: str) -> Key | None:
        """The entry of a key; None for one that is unknown or has expired."""
        digest = _digest(key)
        found = self._file.current().keys.get(digest)
        if found is None or found.expires is None:
            return found
        return found if datetime.datetime.now(datetime.UTC) < found.expires else None

    def limits(self, tenant: str) -> TenantLimits:
        """A tenant's limits, its own or the default's."""
        file = self._file.current()
        return file.tenants.get(tenant, file.default)


def _read(path: Path) -> _Loaded:
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=_File)
    except OSError as error:
        raise KeysError(f"the keys {path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:  # also what is of another form
        raise KeysError(f"the keys {path} cannot be used: {error}") from None
    keys = {key.sha256: key for key in file.keys}
    if len(keys) < len(file.keys):
        raise KeysError(f"the keys {path} have one digest twice")
    return _Loaded(keys, file.tenants, file.default)


def new_key(tenant: str, scopes: list[Scope], expires: datetime.datetime | None) -> tuple[str, str]:
    """A new key, which is not kept anywhere, and its entry for the file.

    Raises:
        KeysError: the tenant or the scopes are none.
    """
    key = _PREFIX + secrets.token_urlsafe(32)
    listed = ", ".join(_quoted(scope) for scope in sorted(set(scopes)))
    lines = [
        "[[keys]]",
        f"sha256 = {_quoted(_digest(key))}",
        f"tenant = {_quoted(tenant)}",
        f"scopes = [{listed}]",
    ]
    if expires is not None:
        lines.append(f"expires = {expires.isoformat()}")
    entry = "\n".join([*lines, ""])
    try:
        msgspec.toml.decode(entry, type=_File)
    except msgspec.ValidationError as error:
        raise KeysError(str(error)) from None
    return key, entry


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
