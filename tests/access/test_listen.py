"""Where the server listens, and what it refuses before the engine starts."""

import asyncio
from pathlib import Path

import pytest
import typer

from support.small_pack import small_pack
from vagus_server.access.certificates import Certificates
from vagus_server.access.listen import address, check_host, is_loopback
from vagus_server.app import App
from vagus_server.engine.settings import EngineSettings
from vagus_server.serve import _certificates
from vagus_server.settings import ServerSettings

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


@pytest.mark.parametrize("settings", [{"host": "0.0.0.0"}, {"metrics_host": "0.0.0.0"}])
def test_the_server_refuses_before_it_starts_anything(settings: dict[str, str]) -> None:
    engine = EngineSettings(model=Path("nowhere"))
    app = App("tiny", engine, ServerSettings(**settings), small_pack())
    with pytest.raises(ValueError, match="refusing"):
        asyncio.run(app.start())


def test_options_that_go_together() -> None:
    one = Path("one")
    assert _certificates(None, None, None) is None
    assert _certificates(one, one, None) == Certificates(one, one)
    assert _certificates(one, one, one) == Certificates(one, one, one)
    for alone in ((one, None, None), (None, one, None), (None, None, one), (one, None, one)):
        with pytest.raises(typer.BadParameter):
            _certificates(*alone)


def test_addresses() -> None:
    assert address("localhost", 1) == "localhost:1"
    assert address("::1", 1) == "[::1]:1"
