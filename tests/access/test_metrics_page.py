"""The metrics page is the operator's: who gets it, over what, and who can hold it up."""

import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from support.authority import Authority
from support.keyring import KeyFile
from vagus_server.access.access import Access
from vagus_server.access.certificates import Certificates
from vagus_server.access.keys import Keys
from vagus_server.access.metrics_page import MetricsPage


@pytest.fixture
def keyring(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.toml")


def page(access: Access, certificates: Certificates | None = None) -> MetricsPage:
    registry = CollectorRegistry()
    Gauge("shown", "A metric.", registry=registry).set(7)
    return MetricsPage("127.0.0.1", 0, access, certificates, registry)


def get(
    page: MetricsPage, authorization: str = "", context: ssl.SSLContext | None = None
) -> tuple[int, str]:
    """Status and body."""
    scheme = "https" if context else "http"
    headers = {"Authorization": authorization} if authorization else {}
    request = urllib.request.Request(f"{scheme}://127.0.0.1:{page.port}/metrics", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_without_keys_it_is_open() -> None:
    served = page(Access())
    try:
        status, body = get(served)
        assert (status, "shown 7.0" in body) == (200, True)
    finally:
        served.close()


def test_with_keys_it_takes_an_admins(keyring: KeyFile) -> None:
    served = page(Access(Keys(keyring.path)))
    try:
        for authorization in ("", "Bearer vagus_x", keyring.key("acme")):
            assert get(served, authorization) == (401, "401 Unauthorized\n")
        for scope in ("generate", "read", "concepts-write"):
            bearer = f"Bearer {keyring.key('acme', scope)}"
            assert get(served, bearer) == (403, "403 Forbidden\n")
        status, body = get(served, f"Bearer {keyring.key('acme')}")
        assert (status, "shown 7.0" in body) == (200, True)
    finally:
        served.close()


def test_it_speaks_tls_with_the_servers_certificate_of_now(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = page(Access(), authority.certificates())
    trusting = ssl.create_default_context(cafile=authority.ca)
    try:
        before = ssl.get_server_certificate(("127.0.0.1", served.port))
        assert get(served, context=trusting)[0] == 200
        authority.renew()
        assert ssl.get_server_certificate(("127.0.0.1", served.port)) != before
        with pytest.raises((OSError, ValueError)):  # plaintext
            get(served)
    finally:
        served.close()


def test_with_mtls_it_wants_a_clients_certificate(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = page(Access(), authority.certificates(client_ca=authority.ca))
    trusting = ssl.create_default_context(cafile=authority.ca)
    try:
        with pytest.raises(OSError, match=r"certificate|reset|Remote end|EOF"):
            get(served, context=trusting)
        trusting.load_cert_chain(*authority.client_files())
        assert get(served, context=trusting)[0] == 200
    finally:
        served.close()


def test_a_client_that_says_nothing_holds_up_nobody(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    served = page(Access(), authority.certificates())
    trusting = ssl.create_default_context(cafile=authority.ca)
    try:
        with socket.create_connection(("127.0.0.1", served.port)):
            assert get(served, context=trusting)[0] == 200
    finally:
        served.close()
