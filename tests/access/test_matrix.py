"""Who may call what: every call, every kind of key, every tenant that a caller can state."""

import datetime
from collections.abc import Iterator
from typing import NamedTuple

import grpc
import pytest
from prometheus_client import CollectorRegistry

from support.aio_server import AioServer
from support.every_call import METHODS, Reached, call
from support.keyring import KeyFile, bearer
from support.refusals import check_form, refused
from support.small_pack import small_pack
from vagus_server.access.access import Access
from vagus_server.access.keys import Keys, new_key
from vagus_server.access.scopes import NEEDED, Scope
from vagus_server.errors import ApiError
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.interceptor import CallInterceptor

TENANTS = ("acme", "globex")
ANY = {"generate", "read", "concepts-write", "admin"}
#: Scopes that allow each call. A new call has to be thought of here.
ALLOWED = {
    "Generate": {"generate", "admin"},
    "StreamGenerate": {"generate", "admin"},
    "Converse": {"generate", "admin"},
    "ListPolicies": ANY,
    "ReadText": {"read", "admin"},
    "ListConcepts": ANY,
    "GetConcept": ANY,
    "UploadConcept": {"concepts-write", "admin"},
    "DeleteConcept": {"concepts-write", "admin"},
    "ListPacks": ANY,
    "GetPack": ANY,
    "ListModels": ANY,
    "GetModel": ANY,
}


class Case(NamedTuple):
    """A caller: whose key, with what scope, what it sends, and why it is refused everywhere."""

    tenant: str
    scope: str
    metadata: tuple[tuple[str, str], ...]
    reason: str = ""


def callers(keyring: KeyFile) -> Iterator[Case]:
    past = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    late, entry = new_key("acme", list(Scope), past)
    keyring.path.write_text(keyring.path.read_text() + "\n" + entry)
    good = keyring.key("acme")
    yield Case("", "", (), "API_KEY_MISSING")
    for bad in (
        bearer(late),
        bearer(new_key("acme", list(Scope), None)[0]),
        bearer(good[:-1]),
        bearer(""),
        (("authorization", good),),
        (("authorization", f"Basic {good}"),),
        bearer(good) * 2,
    ):
        yield Case("", "", bad, "API_KEY_INVALID")
    for tenant in TENANTS:
        for scope in Scope:
            yield Case(tenant, scope, keyring.metadata(tenant, scope))


@pytest.fixture(scope="module")
def keyring(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return KeyFile(tmp_path_factory.mktemp("keys") / "keys.toml", TENANTS)


def gate(access: Access, reached: Reached) -> AioServer:
    """A server that is nothing but the interceptor."""
    metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=CollectorRegistry())
    return AioServer([reached], [CallInterceptor(metrics, access)])


def test_every_call_has_its_scope() -> None:
    assert set(NEEDED) == set(METHODS)
    assert set(ALLOWED) == {method.name for method in METHODS.values()}
    assert {str(scope) for scope in Scope} == ANY


@pytest.mark.parametrize("stated", ["", *TENANTS])
def test_every_call_with_every_key_for_every_tenant(keyring: KeyFile, stated: str) -> None:
    cases, reached = list(callers(keyring)), Reached()
    states = (("vagus-tenant", stated),) if stated else ()
    with (
        gate(Access(Keys(keyring.path)), reached) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        for path, method in METHODS.items():
            for case in cases:
                expected = case.reason
                if not expected and stated not in ("", case.tenant):
                    expected = "TENANT_MISMATCH"
                if not expected and case.scope not in ALLOWED[method.name]:
                    expected = "SCOPE_MISSING"
                reached.tenants.clear()
                if expected:
                    refusal = refused(lambda: call(channel, path, case.metadata + states))  # noqa: B023
                    assert (refusal.info.reason, reached.tenants) == (expected, []), (path, case)
                    check_form(refusal)
                else:
                    call(channel, path, case.metadata + states)
                    assert reached.tenants == [case.tenant], (path, case)


def test_a_refusal_says_which_scope_is_missing(keyring: KeyFile) -> None:
    with (
        gate(Access(Keys(keyring.path)), Reached()) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        path = "/vagus.v1.GenerationService/Generate"
        refusal = refused(lambda: call(channel, path, keyring.metadata("acme", "read")))
    assert refusal.code is grpc.StatusCode.PERMISSION_DENIED
    assert dict(refusal.info.metadata) == {"scope": "generate", "field": ""}


def test_without_keys_everybody_may_call_as_the_tenant_that_they_say() -> None:
    reached = Reached()
    with (
        gate(Access(), reached) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        for path in METHODS:
            call(channel, path)
            call(channel, path, (("vagus-tenant", "acme"), *bearer("of another server")))
    assert reached.tenants == ["", "acme"] * len(METHODS)


def test_a_tenant_in_bad_form_is_told_to_those_with_a_key(keyring: KeyFile) -> None:
    access, bad = Access(Keys(keyring.path)), ("vagus-tenant", "a b")
    for metadata, reason in (((), "API_KEY_MISSING"), (keyring.metadata("acme"), "FIELD_INVALID")):
        with pytest.raises(ApiError) as caught:
            access.identify([*metadata, bad])
        assert caught.value.reason == reason


def test_what_a_stranger_sends_is_not_parsed(keyring: KeyFile) -> None:
    reached = Reached()
    with (
        gate(Access(Keys(keyring.path)), reached) as server,
        grpc.insecure_channel(server.target) as channel,
    ):
        for path in METHODS:
            assert refused(lambda: call(channel, path)).info.reason == "API_KEY_MISSING"  # noqa: B023
        assert reached.parsed == 0
        for path in METHODS:
            call(channel, path, keyring.metadata("acme"))
