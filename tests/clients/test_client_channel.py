"""Transport security: what may be plaintext."""

import datetime
from pathlib import Path

import grpc
import pytest
from client_drivers import Driver, asynchronous
from generation_messages import response
from scripted_server import send, serve

from vagus import AsyncClient, Client
from vagus._channel import channel_credentials, is_loopback

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
    for options in ({"ca": "x"}, {"insecure": True}):
        with pytest.raises(ValueError, match=r"both|contradicts"):
            credentials("localhost:1", credentials=tls, **options)
    with pytest.raises(FileNotFoundError):
        credentials("localhost:1", ca="/nowhere.pem")


@asynchronous
async def test_a_certificate_file_is_trusted(driver: Driver, tmp_path: Path) -> None:
    key, certificate = _certificate()
    (tmp_path / "ca.pem").write_bytes(certificate)
    async with serve(
        send(response()), credentials=grpc.ssl_server_credentials([(key, certificate)])
    ) as server:
        options = {"ca": tmp_path / "ca.pem", "api_key": "secret"}
        result = await driver.call(server.target, "generate", "Hi", client=options)
    assert result.text == "Hi you"
    assert server.metadata[0]["authorization"] == "Bearer secret"


def _certificate() -> tuple[bytes, bytes]:
    pytest.importorskip("cryptography")
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, pkcs8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)
