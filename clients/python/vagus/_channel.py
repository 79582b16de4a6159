"""How a client connects: transport security, channel options and call metadata."""

import ipaddress
import os
import re
from pathlib import Path
from typing import TypeAlias

import grpc

from vagus import _constants
from vagus._version import __version__

FilePath: TypeAlias = str | os.PathLike[str]

_SCHEME = re.compile(r"^(dns|ipv4|ipv6):(?://[^/]*/)?")


def is_loopback(target: str) -> bool:
    """Whether every address of a gRPC target is on this machine."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    return all(_is_loopback_host(address) for address in _SCHEME.sub("", target).split(","))


def _is_loopback_host(address: str) -> bool:
    match = re.fullmatch(r"\[(?P<v6>[^\]]+)\](:\d+)?|(?P<name>[\w.-]+)(:\d+)?", address)
    if match is None:
        return False
    host = match["v6"] or match["name"]
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def channel_credentials(
    target: str,
    *,
    insecure: bool,
    credentials: grpc.ChannelCredentials | None,
    ca: FilePath | None,
    certificate: FilePath | None = None,
    private_key: FilePath | None = None,
) -> grpc.ChannelCredentials | None:
    """The credentials to connect with, or None for plaintext.

    Raises:
        ValueError: The options contradict each other.
        OSError: A certificate or key file cannot be read.
    """
    files = (ca, private_key, certificate)
    if credentials is not None and files != (None, None, None):
        raise ValueError("give either credentials or files of certificates, not both")
    if insecure and (credentials is not None or files != (None, None, None)):
        raise ValueError("insecure=True contradicts credentials and certificates")
    if (certificate is None) != (private_key is None):
        raise ValueError("certificate and private_key go together")
    if credentials is not None:
        return credentials
    if files != (None, None, None):
        data = (None if file is None else Path(file).read_bytes() for file in files)
        return grpc.ssl_channel_credentials(*data)
    return None if insecure or is_loopback(target) else grpc.ssl_channel_credentials()


def channel_options(target: str) -> list[tuple[str, str | int]]:
    """The gRPC channel arguments for a target."""
    return [
        ("grpc.primary_user_agent", f"vagus-python/{__version__}"),
        ("grpc.max_receive_message_length", _constants.MAX_RECEIVE_BYTES),
        # gRPC's own first reconnection waits 1 s, so that every retry would hit the same
        # failed connection.
        ("grpc.initial_reconnect_backoff_ms", int(_constants.RETRY_BASE_DELAY_S * 1000)),
        ("grpc.max_reconnect_backoff_ms", int(_constants.RETRY_MAX_DELAY_S * 1000)),
        # What is plaintext because it stays on this machine must not leave it by a proxy.
        ("grpc.enable_http_proxy", int(not is_loopback(target))),
    ]


def call_metadata(
    target: str, *, tenant: str, api_key: str | None, plaintext: bool
) -> tuple[tuple[str, str], ...]:
    """The metadata that goes with every call. Without an API key, the environment's is taken.

    Raises:
        ValueError: An API key would cross a network in plaintext.
    """
    if api_key is None:
        api_key = os.environ.get(_constants.API_KEY_VARIABLE, "")
    if api_key and plaintext and not is_loopback(target):
        raise ValueError(f"an API key would travel to {target} in plaintext: use TLS")
    pairs = (
        (_constants.TENANT_KEY, tenant),
        (_constants.AUTHORIZATION_KEY, f"Bearer {api_key}" if api_key else ""),
    )
    return tuple((key, value) for key, value in pairs if value)
