"""The policies of a benchmark: all begin at a request's first token, and none ceases."""

from typing import Literal

from vagus.v1 import steering_pb2
from vagus_server.packs.pack import Pack
from vagus_server.policies.policy import Policy, Trigger
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

COUNT = 16
#: As many as a program has room for.
STEERING = 8
#: Of each, in mean residual norms.
DOSE = 0.01
#: Every z-score is above it.
_BEGIN = -1e6


def bench_policies(
    pack: Pack, resolver: Resolver, kind: Literal["none", "tell", "steer"]
) -> tuple[Policy, ...]:
    """Policies on the pack's first concepts; those that steer add one operation each."""
    if kind == "none":
        return ()
    site = pack.readout_site
    policies = []
    for i, concept in enumerate(pack.names[:COUNT]):
        trigger = Trigger(
            concept=concept,
            column=i,
            mean=float(pack.reference_mean[i, site]),
            deviation=float(pack.reference_std[i, site]),
            below=False,
            begin=_BEGIN,
            cease=_BEGIN,
            smoothing=16,
            after=1,
        )
        program = Program()
        if kind == "steer" and i < STEERING:
            add = steering_pb2.Add(strength=DOSE, unit=steering_pb2.STRENGTH_UNIT_RESIDUAL)
            operation = steering_pb2.Operation(concept=concept, add=add)
            message = steering_pb2.Program(operations=[operation])
            program = resolver.resolve(message, PromptMap(0), "steer")
        policies.append(Policy(f"bench-{i}", trigger, program=program))
    return tuple(policies)
