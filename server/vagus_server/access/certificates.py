"""TLS: certificates that can be renewed while the server runs."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from vagus_server.reload import Reloaded


class CertificateError(ValueError):
    """The certificates cannot be used; the message says why."""


@dataclass(frozen=True)
class Certificates:
    """PEM files.

    Args:
        certificate: the server's, with what leads from it to its root.
        private_key: of the certificate.
        client_ca: whoever connects needs a certificate signed by one of these; None asks for
            none.
    """

    certificate: Path
    private_key: Path
    client_ca: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All that there are."""
        named = (self.certificate, self.private_key, self.client_ca)
        return [path for path in named if path is not None]

    def context(self) -> ssl.SSLContext:
        """For servers on Python's own sockets; raises CertificateError."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.certificate, self.private_key, password=_no_password)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            names = ", ".join(str(path) for path in self.files)
            raise CertificateError(f"the certificates {names} cannot be used: {error}") from None
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC, as the files are when a connection comes; raises CertificateError at first."""
        files = Reloaded(self.files, self._configuration)
        used = [files.current()]

        def renewed() -> Any:
            found = files.current()
            if found is used[0]:
                return None
            used[0] = found
            return found

        return grpc.dynamic_ssl_server_credentials(
            used[0], renewed, require_client_authentication=self.client_ca is not None
        )

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        # gRPC says nothing of what is wrong with a file, or that key and certificate differ.
        self.context()
        pair = (self.private_key.read_bytes(), self.certificate.read_bytes())
        roots = self.client_ca.read_bytes() if self.client_ca is not None else None
        return grpc.ssl_server_certificate_configuration([pair], root_certificates=roots)


def _no_password() -> str:
    # Without this, OpenSSL asks the terminal for the password of an encrypted key.
    raise ValueError("the private key is encrypted")
