"""PolicyService, and how policies are told of."""

from vagus.v1 import policy_pb2
from vagus.v1 import policy_service_pb2 as pb
from vagus.v1 import policy_service_pb2_grpc as pb_grpc
from vagus_server.engine.running import PolicyEvent
from vagus_server.policies.file import Entry
from vagus_server.policies.policy import Policy
from vagus_server.services.context import ServicerContext
from vagus_server.services.served import Served

_KINDS = {
    "began": policy_pb2.POLICY_EVENT_KIND_BEGAN,
    "ceased": policy_pb2.POLICY_EVENT_KIND_CEASED,
    "stopped": policy_pb2.POLICY_EVENT_KIND_STOPPED,
}


class PolicyService(pb_grpc.PolicyServiceServicer):
    """Lists what watches requests."""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def ListPolicies(  # noqa: N802
        self, request: pb.ListPoliciesRequest, context: ServicerContext
    ) -> pb.ListPoliciesResponse:
        """All policies in force."""
        current = self._served.policies.current
        both = zip(current.entries, current.policies, strict=True)
        messages = [policy_message(entry, policy) for entry, policy in both]
        return pb.ListPoliciesResponse(policies=messages, digest=current.digest)


def policy_message(entry: Entry, policy: Policy) -> policy_pb2.Policy:
    """A policy as written and as run."""
    t = policy.trigger
    return policy_pb2.Policy(
        name=policy.name,
        description=entry.description,
        trigger=policy_pb2.Trigger(
            concept=t.concept,
            begin_z=t.begin,
            cease_z=t.cease,
            below=t.below,
            smoothing_tokens=t.smoothing,
            after_tokens=t.after,
        ),
        severity=policy.severity,
        every_request=entry.every_request,
        steering=[
            policy_pb2.PolicySteering(
                concept=steer.concept,
                sites=operation.sites,
                dose=steer.dose,
                ramp_tokens=steer.ramp_tokens,
            )
            for steer, operation in zip(entry.steer, policy.program.operations, strict=True)
        ],
        stops=policy.stops,
    )


def event_message(event: PolicyEvent) -> policy_pb2.PolicyEvent:
    """What a policy did."""
    return policy_pb2.PolicyEvent(
        policy=event.policy.name,
        kind=_KINDS[event.kind],
        position=event.position,
        value=event.value,
        severity=event.policy.severity,
    )
