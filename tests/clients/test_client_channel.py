"""Transport security: what may be plaintext."""

from pathlib import Path

import grpc
import pytest
import trustme
from client_drivers import Driver, asynchronous
from generation_messages import response
from scripted_server import send, serve

from vagus import AsyncClient, Client
from vagus._channel import call_metadata, channel_credentials, is_loopback

LOCAL = [
    "localhost:50051", "LOCALHOST", "127.0.0.1:1", "127.9.9.9:1", "[::1]:50051", "unix:/tmp/s",
    "dns:///localhost:1", "dns:localhost:1", "dns://8.8.8.8/localhost:1", "ipv4:127.0.0.1:1",
    "ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:1", "unix-abstract:name",
]  # fmt: skip
REMOTE = [
    "gpu.example:50051", "10.0.0.5:50051", "0.0.0.0:50051", "[2001:db8::1]:1", "",
    "localhost.example:1", "localhost@gpu.example:1", "127.0.0.1/@gpu.example:1",
    "dns:///gpu.example:1", "ipv4:127.0.0.1:1,10.0.0.5:1", "xds:///localhost",
]  # fmt: skip


def credentials(target: str, **options: object) -> grpc.ChannelCredentials | None:
    return channel_credentials(
        target, **{"insecure": False, "credentials": None, "ca": None, **options}
    )


@pytest.mark.parametrize("target", LOCAL)
def test_loopback_is_plaintext(target: str) -> None:
    assert is_loopback(target)
    assert credentials(target) is None


@pytest.mark.parametrize("target", REMOTE)
def test_everything_else_is_not_unless_asked(target: str) -> None:
    assert not is_loopback(target)
    assert isinstance(credentials(target), grpc.ChannelCredentials)
    assert credentials(target, insecure=True) is None


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_an_api_key_never_leaves_in_plaintext(client: type[Client | AsyncClient]) -> None:
    with pytest.raises(ValueError, match="plaintext"):
        client("gpu.example:1", insecure=True, api_key="secret")
    client("gpu.example:1", api_key="secret")
    client("localhost:1", api_key="secret")


def test_contradictions_are_refused() -> None:
    tls = grpc.ssl_channel_credentials()
    assert credentials("localhost:1", credentials=tls) is tls
    for options in ({"ca": "x"}, {"certificate": "x", "private_key": "x"}, {"insecure": True}):
        with pytest.raises(ValueError, match=r"both|contradicts"):
            credentials("localhost:1", credentials=tls, **options)
    for options in ({"certificate": "x"}, {"private_key": "x"}):
        with pytest.raises(ValueError, match="go together"):
            credentials("localhost:1", **options)
    with pytest.raises(FileNotFoundError):
        credentials("localhost:1", ca="/nowhere.pem")


def test_the_api_key_comes_from_the_environment_unless_one_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def sent(api_key: str | None) -> dict[str, str]:
        return dict(call_metadata("localhost:1", tenant="", api_key=api_key, plaintext=True))

    assert sent(None) == {}
    monkeypatch.setenv("VAGUS_API_KEY", "secret")
    assert sent(None) == {"authorization": "Bearer secret"}
    assert sent("other") == {"authorization": "Bearer other"}
    assert sent("") == {}
    with pytest.raises(ValueError, match="plaintext"):
        Client("gpu.example:1", insecure=True)


@asynchronous
@pytest.mark.parametrize("own", [False, True])
async def test_files_of_certificates(driver: Driver, tmp_path: Path, own: bool) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    served, client = authority.issue_cert("127.0.0.1"), authority.issue_cert("a@example.org")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
    tls = grpc.ssl_server_credentials(
        [(served.private_key_pem.bytes(), served.cert_chain_pems[0].bytes())],
        authority.cert_pem.bytes(),
        require_client_auth=own,
    )
    options = {"ca": tmp_path / "ca.pem", "api_key": "secret"}
    if own:
        options |= {
            "certificate": tmp_path / "certificate.pem", "private_key": tmp_path / "key.pem",
        }  # fmt: skip
    async with serve(send(response()), credentials=tls) as server:
        result = await driver.call(server.target, "generate", "Hi", client=options)
    assert result.text == "Hi you"
    assert server.metadata[0]["authorization"] == "Bearer secret"
