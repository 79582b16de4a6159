"""A certificate authority, with the certificates of a server and a client as files."""

from pathlib import Path

import grpc
import trustme

from vagus_server.access.certificates import Certificates


class Authority:
    """Signs certificates.

    Args:
        folder: gets `server.pem`, `server.key`, and the authority's own `ca.pem`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.ca = folder / "ca.pem"
        self._ca.cert_pem.write_to_path(self.ca)
        self.renew()

    def renew(self) -> None:
        """Writes the server's certificate and key anew."""
        made = self._ca.issue_cert("127.0.0.1")
        self.key, self.certificate = self.folder / "server.key", self.folder / "server.pem"
        made.private_key_pem.write_to_path(self.key)
        chain = b"".join(pem.bytes() for pem in made.cert_chain_pems)
        self.certificate.write_bytes(chain)

    def certificates(self, client_ca: Path | None = None) -> Certificates:
        return Certificates(self.certificate, self.key, client_ca)

    def client_files(self) -> tuple[Path, Path]:
        """A new certificate of a client, and its key."""
        made = self._ca.issue_cert("client@example.org")
        certificate, key = self.folder / "client.pem", self.folder / "client.key"
        made.private_key_pem.write_to_path(key)
        made.cert_chain_pems[0].write_to_path(certificate)
        return certificate, key

    def trusted(self, client: bool = False) -> grpc.ChannelCredentials:
        """For a channel that trusts this authority, with a client's certificate of its own."""
        if not client:
            return grpc.ssl_channel_credentials(self.ca.read_bytes())
        certificate, key = self.client_files()
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), key.read_bytes(), certificate.read_bytes()
        )
