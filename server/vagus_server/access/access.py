"""Says whose a call is, and whether its key allows it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import grpc

from vagus_server.access.account import TENANTS_SHARE, Account
from vagus_server.access.keys import Key, Keys
from vagus_server.access.scopes import Scope, needed_scope
from vagus_server.errors import ApiError, invalid

AUTHORIZATION_KEY = "authorization"
TENANT_KEY = "vagus-tenant"
_TENANT = re.compile(r"[\x21-\x7e]{1,128}")
_BEARER = re.compile(r"[Bb]earer +(\S+) *")


@dataclass(frozen=True)
class Caller:
    """Whose a call is.

    Args:
        tenant: separates prefix caches and uploaded concepts.
        stated: the tenant that the call's metadata name, if they do.
        key: id of its API key; empty where none are configured.
        scopes: what it may do.
        account: what it may use.
    """

    tenant: str = ""
    stated: str = ""
    key: str = ""
    scopes: frozenset[Scope] = frozenset({Scope.ADMIN})
    account: Account = field(default_factory=Account)

    def check(self, scope: Scope | None, field: str = "") -> None:
        """Raises SCOPE_MISSING without a scope; `field` is the request's that needs it, if any."""
        if scope is None or self.scopes & {scope, Scope.ADMIN}:
            return
        raise ApiError(
            grpc.StatusCode.PERMISSION_DENIED,
            "SCOPE_MISSING",
            f"{field or 'this call'} needs an API key with the scope {scope}",
            scope=scope,
            field=field,
        )

    def check_call(self, method: str) -> None:
        """Raises TENANT_MISMATCH or SCOPE_MISSING unless the caller may make this call.

        `method` is its full name.
        """
        if self.stated not in ("", self.tenant):
            raise ApiError(
                grpc.StatusCode.PERMISSION_DENIED,
                "TENANT_MISMATCH",
                f"{TENANT_KEY} names another tenant than the one that the API key is for",
                tenant=self.stated,
            )
        self.check(needed_scope(method))


class Access:
    """Identifies callers.

    Args:
        keys: of those who may call; None lets everybody call, as the tenant that they say.
    """

    def __init__(self, keys: Keys | None = None) -> None:
        self._keys = keys
        self._accounts: dict[str, Account] = {}
        #: Of all callers where there are no keys: a tenant that anybody can state limits nobody.
        self._everybodys = Account()

    @property
    def wants_keys(self) -> bool:
        """Whether a call needs a key."""
        return self._keys is not None

    def identify(self, metadata: Iterable[tuple[str, str | bytes]]) -> Caller:
        """The caller of a call with this metadata, or ApiError."""
        pairs = [(key, value) for key, value in metadata if isinstance(value, str)]
        tenants = [value for key, value in pairs if key == TENANT_KEY]
        if self._keys is None:
            stated = _tenant(tenants)
            return Caller(stated, stated, account=self._everybodys)
        found = self.key([value for key, value in pairs if key == AUTHORIZATION_KEY])
        stated = _tenant(tenants)
        return Caller(found.tenant, stated, found.id, found.scopes, self._account(found.tenant))

    def key(self, authorization: list[str]) -> Key:
        """The key in the values of an authorization header, or ApiError."""
        if self._keys is None or not authorization:
            raise ApiError(
                grpc.StatusCode.UNAUTHENTICATED,
                "API_KEY_MISSING",
                "an API key is needed: send the metadata authorization: Bearer KEY",
            )
        # Two headers are one of a caller and one of a proxy: taking either would guess.
        match = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
        found = self._keys.find(match[1]) if match else None
        if found is None:
            raise ApiError(
                grpc.StatusCode.UNAUTHENTICATED,
                "API_KEY_INVALID",
                "this API key is unknown or has expired",
            )
        return found

    def _account(self, tenant: str) -> Account:
        if tenant not in self._accounts and self._keys is not None:
            limits = partial(self._keys.limits, tenant)
            self._accounts[tenant] = Account(limits, TENANTS_SHARE)
        return self._accounts[tenant]


def _tenant(stated: list[str]) -> str:
    if len(stated) > 1:
        # One of a caller and one of a proxy: taking either would guess whose cache it is.
        invalid(TENANT_KEY, "must be given once", value=len(stated), limit=1)
    tenant = stated[0] if stated else ""
    if tenant and not _TENANT.fullmatch(tenant):
        invalid(TENANT_KEY, "must be 1 to 128 visible ASCII characters", value=tenant)
    return tenant
