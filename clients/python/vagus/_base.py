"""What both clients share: their options, and the state that they give to each call."""

import grpc

from vagus import _constants
from vagus._channel import FilePath, call_metadata, channel_credentials, channel_options
from vagus._retry import Attempts
from vagus._trace import trace_metadata


class ClientBase:
    """Options of a client.

    Args:
        target: The server, as "host:port" or any gRPC target.
        insecure: Talk plaintext to a server that is not on this machine. Without it only
            loopback targets are plaintext; all others need TLS.
        credentials: TLS credentials, where files of certificates do not do.
        ca: Path of a PEM file with the certificates to trust, instead of the system's.
        certificate: Path of a PEM file with a certificate of this client's own.
        private_key: Path of a PEM file with its key.
        tenant: Whose requests these are; tenants share no prefix cache and none of their own
            concepts. A server that wants API keys takes it from the key.
        api_key: Sent as a bearer token. Refused over plaintext to another machine. None: that
            of the environment variable VAGUS_API_KEY, if there is one.
        timeout: Seconds that a call may take by default, retries included.
        max_retries: Attempts after the first. Only calls that the server cannot have begun are
            tried again: those that end with UNAVAILABLE, or with RESOURCE_EXHAUSTED and the
            server's advice to retry, before anything was received.

    Raises:
        ValueError: The options contradict each other.
        OSError: A certificate or key file cannot be read.
    """

    def __init__(
        self,
        target: str = _constants.DEFAULT_TARGET,
        *,
        insecure: bool = False,
        credentials: grpc.ChannelCredentials | None = None,
        ca: FilePath | None = None,
        certificate: FilePath | None = None,
        private_key: FilePath | None = None,
        tenant: str = "",
        api_key: str | None = None,
        timeout: float = _constants.DEFAULT_TIMEOUT_S,
        max_retries: int = _constants.DEFAULT_MAX_RETRIES,
    ) -> None:
        self._target = target
        self._credentials = channel_credentials(
            target,
            insecure=insecure,
            credentials=credentials,
            ca=ca,
            certificate=certificate,
            private_key=private_key,
        )
        self._channel_options = channel_options(target)
        self._fixed_metadata = call_metadata(
            target, tenant=tenant, api_key=api_key, plaintext=self._credentials is None
        )
        self._timeout = timeout
        self._max_retries = max_retries

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (*self._fixed_metadata, *trace_metadata())

    def _attempts(self, timeout: float | None) -> Attempts:
        return Attempts(self._timeout if timeout is None else timeout, self._max_retries)
