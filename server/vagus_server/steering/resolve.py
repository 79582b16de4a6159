"""Validates a request's program and resolves it against the concepts and the prompt."""

from functools import lru_cache, partial

import grpc

from vagus.v1 import steering_pb2 as pb
from vagus_server.concepts.concept import Concept
from vagus_server.concepts.parse import Shape, parse_inline
from vagus_server.concepts.registry import Registry
from vagus_server.errors import ApiError, invalid
from vagus_server.steering.actions import action_amounts
from vagus_server.steering.checks import check_number, check_sites
from vagus_server.steering.collapse import Collapse
from vagus_server.steering.program import ACTIONS, Envelope, Gate, Operation, Program
from vagus_server.steering.rules import Room, resolve_scope
from vagus_server.steering.scope import PromptMap

#: Strengths arrive as float32: ten times 0.1 is a little more than 1, and still within 1.
_SLACK = 1e-6
_LONGEST = 1_000_000
#: Inline vectors that are remembered: a program's.
_INLINE = 8


class Resolver:
    """Resolves programs against one pack and the tenants' own concepts.

    Args:
        registry: finds concepts.
        max_operations: most operations in a program.
        max_dose: greatest sum of |dose| over operations and sites.
    """

    def __init__(self, registry: Registry, max_operations: int, max_dose: float) -> None:
        self._registry = registry
        self._pack = registry.pack
        self._collapse = Collapse(self._pack)
        shape = Shape(self._pack.sites, self._pack.manifest.model.hidden_size)
        # A program is resolved anew for each text of a call; its vectors need not be.
        self._inline = lru_cache(_INLINE)(partial(_inline, shape))
        self._max_operations = max_operations
        self._max_dose = max_dose

    def resolve(
        self,
        message: pb.Program,
        prompt: PromptMap,
        field: str,
        tenant: str = "",
        max_dose: float | None = None,
    ) -> Program:
        """Returns the program, or raises ApiError with the path of the offending field.

        Args:
            message: the request's program.
            prompt: what scopes need to know of the prompt.
            field: path of the program in the request.
            tenant: whose own concepts can be named.
            max_dose: the tenant's limit, if below the server's.
        """
        count = len(message.operations)
        if count > self._max_operations:
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "TOO_MANY_OPERATIONS",
                f"{field}.operations has {count} operations; at most "
                f"{self._max_operations} are served",
                field=f"{field}.operations",
                value=count,
                limit=self._max_operations,
            )
        room = Room()
        program = Program(
            tuple(
                self._operation(operation, prompt, f"{field}.operations[{i}]", tenant, room)
                for i, operation in enumerate(message.operations)
            )
        )
        self._collapse.check(program, field)
        limit = self._max_dose if max_dose is None else min(self._max_dose, max_dose)
        if program.dose > limit * (1 + _SLACK):
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "DOSE_OVER_LIMIT",
                f"{field} has a dose of {program.dose:.3g} mean residual norms over its sites; "
                f"the limit is {limit:g}",
                field=field,
                dose=f"{program.dose:.6g}",
                limit=f"{limit:g}",
            )
        return program

    def _operation(
        self, message: pb.Operation, prompt: PromptMap, field: str, tenant: str, room: Room
    ) -> Operation:
        action = message.WhichOneof("action")
        if action is None:
            invalid(f"{field}.action", "must be set")
        pack = self._pack
        concept = self._concept(message, field, tenant)
        sites: tuple[int, ...] = (pack.steering_site,)
        if message.sites:
            check_sites(message.sites, pack.sites, f"{field}.sites")
            sites = tuple(sorted(message.sites))
        concept.check_covers(sites, f"{field}.sites")
        amounts = action_amounts(message, concept.vectors, pack, sites, f"{field}.{action}")
        scope, scope_text = resolve_scope(message.scope, prompt, f"{field}.scope", room)
        return Operation(
            action=ACTIONS[action],
            concept=concept.name,
            vectors=concept.vectors,
            sites=sites,
            a=amounts.a,
            b=amounts.b,
            doses=tuple(d / pack.residual_norms[s] for d, s in zip(amounts.forced, sites)),  # noqa: B905
            scope=scope,
            scope_text=scope_text,
            gate=self._gate(message, sites, field, tenant) if message.HasField("gate") else None,
            envelope=_envelope(message, prompt, field) if message.HasField("envelope") else None,
        )

    def _concept(self, message: pb.Operation, field: str, tenant: str) -> Concept:
        if not message.HasField("inline"):
            return self._registry.find(message.concept, f"{field}.concept", tenant)
        if message.concept:
            invalid(f"{field}.inline", "stands in place of a concept, and one is named too")
        return self._inline(message.inline.SerializeToString(deterministic=True), field)

    def _gate(self, message: pb.Operation, sites: tuple[int, ...], field: str, tenant: str) -> Gate:
        gate, pack, path = message.gate, self._pack, f"{field}.gate"
        concept = self._registry.find(gate.concept, f"{path}.concept", tenant)
        site = None
        if gate.HasField("site"):
            check_sites([gate.site], pack.sites, f"{path}.site", single=True)
            site = gate.site
            if site > sites[0]:
                invalid(
                    f"{path}.site",
                    f"is above site {sites[0]}, where the operation acts: a gate reads the same "
                    "site or an earlier one",
                    value=site,
                    limit=sites[0],
                )
        concept.check_covers(sites if site is None else (site,), f"{path}.site")
        if not (gate.HasField("at_least") or gate.HasField("at_most")):
            invalid(path, "has no bound: set at_least, at_most or both")
        lower = gate.at_least if gate.HasField("at_least") else -float("inf")
        upper = gate.at_most if gate.HasField("at_most") else float("inf")
        for name, bound in (("at_least", lower), ("at_most", upper)):
            if gate.HasField(name):
                check_number(bound, f"{path}.{name}")
        if lower > upper:
            invalid(f"{path}.at_least", f"is above at_most ({upper:g})", value=lower, limit=upper)
        if gate.z_score:
            if site is None and len(sites) > 1:
                invalid(
                    f"{path}.z_score",
                    "needs a site of the gate's own when the operation acts at several: each "
                    "site has other reference traffic",
                )
            at = sites[0] if site is None else site
            reference = concept.reference.get(at)
            if reference is None:
                invalid(
                    f"{path}.z_score",
                    f"needs reference statistics, and the concept has none at site {at}",
                )
            lower, upper = (reference.mean + b * reference.deviation for b in (lower, upper))
        return Gate(concept.name, concept.vectors, site, lower, upper)


def _inline(shape: Shape, message: bytes, field: str) -> Concept:
    inline = pb.InlineVectors.FromString(message)
    return Concept("", parse_inline(inline, shape, f"{field}.inline"))


def _envelope(message: pb.Operation, prompt: PromptMap, field: str) -> Envelope:
    envelope, path = message.envelope, f"{field}.envelope"
    ramp = half_life = 0.0
    if envelope.HasField("ramp_tokens"):
        if not 1 <= envelope.ramp_tokens <= _LONGEST:
            invalid(
                f"{path}.ramp_tokens",
                f"must be 1 to {_LONGEST}",
                value=envelope.ramp_tokens,
                limit=_LONGEST,
            )
        ramp = float(envelope.ramp_tokens)
    if envelope.HasField("half_life_tokens"):
        half_life = envelope.half_life_tokens
        if not 0.01 <= half_life <= _LONGEST:  # also refuses NaN
            invalid(
                f"{path}.half_life_tokens",
                f"must be 0.01 to {_LONGEST}",
                value=half_life,
                limit=_LONGEST,
            )
    if not (ramp or half_life):
        invalid(path, "changes nothing: set ramp_tokens, half_life_tokens or both")
    return Envelope(prompt.tokens, ramp, half_life)
