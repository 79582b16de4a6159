"""What the server's policies did to a generation."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from vagus._errors import DataLoss
from vagus.v1 import policy_pb2 as pb

PolicyEventKind: TypeAlias = Literal["began", "ceased", "stopped"]
"""A policy began to act, ceased to act, or began and ended the request."""

_KINDS: dict[int, PolicyEventKind] = {
    pb.POLICY_EVENT_KIND_BEGAN: "began",
    pb.POLICY_EVENT_KIND_CEASED: "ceased",
    pb.POLICY_EVENT_KIND_STOPPED: "stopped",
}


@dataclass(frozen=True, slots=True)
class PolicyEvent:
    """A policy began or ceased to act.

    Attributes:
        policy: Its name.
        kind: Which of both, or that it ended the request.
        position: The position whose readout decided it (0 is the prompt's first token): the
            state out of which the token after it was chosen.
        value: The smoothed z-score of the policy's concept there.
        severity: The policy's severity: "info", "warning" or "critical".
    """

    policy: str
    kind: PolicyEventKind
    position: int
    value: float
    severity: str


def policy_event(message: pb.PolicyEvent) -> PolicyEvent:
    """Decode an event.

    Raises:
        DataLoss: Its kind is unknown.
    """
    kind = _KINDS.get(message.kind)
    if kind is None:
        raise DataLoss(f"the policy {message.policy} did something unknown ({message.kind})")
    return PolicyEvent(message.policy, kind, message.position, message.value, message.severity)
