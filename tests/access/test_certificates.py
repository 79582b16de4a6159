"""TLS, mTLS, and certificates that change under a running server, on real connections."""

import logging
import ssl
from pathlib import Path

import grpc
import pytest
from prometheus_client import CollectorRegistry

from support.aio_server import AioServer
from support.authority import Authority
from support.every_call import Reached, call
from support.small_pack import small_pack
from vagus_server.access.certificates import CertificateError, Certificates
from vagus_server.metrics.metrics import Metrics
from vagus_server.services.interceptor import CallInterceptor

PATH = "/vagus.v1.ModelService/GetModel"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def serving(certificates: Certificates) -> AioServer:
    metrics = Metrics(small_pack(), (), "tiny", slots=1, registry=CollectorRegistry())
    return AioServer([Reached()], [CallInterceptor(metrics)], certificates.credentials())


def accepted(target: str, credentials: grpc.ChannelCredentials | None) -> bool:
    """Whether a new connection gets an answer."""
    # Channels of equal settings would share one connection.
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        channel = grpc.insecure_channel(target, options)
    else:
        channel = grpc.secure_channel(target, credentials, options)
    with channel:
        try:
            call(channel, PATH)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True


def served_certificate(target: str) -> str:
    host, port = target.split(":")
    return ssl.get_server_certificate((host, int(port)))


def test_tls_speaks_to_those_who_trust_it_and_never_plaintext(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    with serving(authority.certificates()) as server:
        assert accepted(server.target, authority.trusted())
        assert not accepted(server.target, Authority(tmp_path / "other").trusted())
        assert not accepted(server.target, None)


def test_mtls_wants_a_clients_certificate_of_the_right_authority(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    certificate, key = other.client_files()
    stranger = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), key.read_bytes(), certificate.read_bytes()
    )
    with serving(authority.certificates(client_ca=authority.ca)) as server:
        assert accepted(server.target, authority.trusted(client=True))
        assert not accepted(server.target, authority.trusted())
        assert not accepted(server.target, stranger)


def test_a_renewed_certificate_is_used_for_the_next_connection(authority: Authority) -> None:
    with serving(authority.certificates()) as server:
        with grpc.secure_channel(server.target, authority.trusted()) as channel:
            call(channel, PATH)
            before = served_certificate(server.target)
            authority.renew()
            after = served_certificate(server.target)
            assert before != after
            assert after.strip() in authority.certificate.read_text()
            call(channel, PATH)  # the old connection goes on
        assert accepted(server.target, authority.trusted())


def test_renewed_clients_authorities_count_for_the_next_connection(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    clients = tmp_path / "clients.pem"
    clients.write_bytes(authority.ca.read_bytes())
    with serving(authority.certificates(client_ca=clients)) as server:
        assert accepted(server.target, authority.trusted(client=True))
        clients.write_bytes(Authority(tmp_path / "other").ca.read_bytes())
        assert not accepted(server.target, authority.trusted(client=True))


def test_files_that_went_bad_are_reported_and_the_old_ones_stay(
    authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with serving(authority.certificates()) as server:
        before = served_certificate(server.target)
        authority.key.write_text("no key")
        assert served_certificate(server.target) == before
        assert "stays in force" in caplog.text
        authority.renew()
        assert served_certificate(server.target) != before


def test_bad_files_are_refused_at_the_start(authority: Authority, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    key = authority.key.read_bytes()
    authority.renew()
    (tmp_path / "old.key").write_bytes(key)
    for certificates in (
        Certificates(nowhere, authority.key),
        Certificates(authority.certificate, nowhere),
        Certificates(authority.certificate, tmp_path / "old.key"),
        Certificates(authority.certificate, authority.key, nowhere),
        Certificates(authority.certificate, authority.key, authority.key),
    ):
        with pytest.raises(CertificateError, match="cannot be used"):
            certificates.credentials()
