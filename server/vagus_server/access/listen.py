"""Where a server may listen: plaintext stays on this machine unless somebody insists."""

import ipaddress

from vagus_server.access.certificates import Certificates


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone, by its form; no name but localhost is looked up."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(host: str, option: str, certificates: Certificates | None, insecure: bool) -> None:
    """Raises ValueError where keys, prompts or readouts would cross a network in plaintext."""
    if not (is_loopback(host) or certificates is not None or insecure):
        raise ValueError(
            f"refusing {option} {host} in plaintext: give --tls-cert and --tls-key, or "
            "--insecure to insist"
        )


def address(host: str, port: int) -> str:
    """Host and port as one target."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
