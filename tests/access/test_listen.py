"""Where the server listens, and what it refuses before the engine starts."""

from pathlib import Path

import pytest

from vagus_server.access.certificates import Certificates
from vagus_server.access.listen import address, check_host, is_loopback

TLS = Certificates(Path("certificate"), Path("key"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8"])
def test_loopback_is_plaintext(host: str) -> None:
    assert is_loopback(host)
    check_host(host, "--host", None, insecure=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "gpu.example", "localhost.example"])
@pytest.mark.parametrize("option", ["--host", "--metrics-host"])
def test_beyond_it_is_tls_unless_somebody_insists(host: str, option: str) -> None:
    with pytest.raises(ValueError, match=f"refusing {option} {host} in plaintext"):
        check_host(host, option, None, insecure=False)
    check_host(host, option, None, insecure=True)
    check_host(host, option, TLS, insecure=False)


def test_addresses() -> None:
    assert address("localhost", 1) == "localhost:1"
    assert address("::1", 1) == "[::1]:1"
