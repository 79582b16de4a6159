"""What the operator chooses of the server; the engine's choices are in `engine.settings`."""

from dataclasses import dataclass, field
from pathlib import Path

from vagus_server.access.certificates import Certificates
from vagus_server.policies.file import MONITOR
from vagus_server.services.served import Limits


@dataclass(frozen=True)
class ServerSettings:
    """Where and how to serve.

    Args:
        host: address to listen on; beyond loopback only with certificates or `insecure`.
        port: gRPC port; 0 takes a free one.
        metrics_port: Prometheus port; 0 takes a free one; None serves none.
        metrics_host: its address, under the same rule.
        insecure: listen beyond loopback in plaintext.
        certificates: of this server; None speaks plaintext.
        keys: file of API keys; None lets everybody call, as the tenant that they say.
        audit_log: file that takes note of what is steered and uploaded; None takes none.
        audit_texts: write prompts there as well.
        metric_concepts: concepts that get series; empty takes all of the pack.
        metric_tenants: tenants that get series of their own; empty takes the first 16.
        limits: see Limits.
        state: folder that keeps uploaded concepts over a restart; None keeps nothing.
        policies: file of policies that watch requests; None watches none.
        drain_seconds: what a stop leaves running requests to end by themselves.
        canary_seconds: between two canaries while the server runs; 0 runs none.
        keepalive_seconds: a connection that is silent for so long is asked whether it lives, and
            closed after as long again without an answer.
    """

    host: str = "127.0.0.1"
    port: int = 50051
    metrics_port: int | None = 9464
    metrics_host: str = "127.0.0.1"
    insecure: bool = False
    certificates: Certificates | None = None
    keys: Path | None = None
    audit_log: Path | None = None
    audit_texts: bool = False
    metric_concepts: tuple[str, ...] = ()
    metric_tenants: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    state: Path | None = None
    policies: Path | None = MONITOR
    drain_seconds: float = 30.0
    canary_seconds: float = 60.0
    keepalive_seconds: float = 30.0
