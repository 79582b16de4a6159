"""Validates a request's program and resolves it against the pack and the prompt."""

import grpc

from vagus.v1 import steering_pb2 as pb
from vagus_server.errors import ApiError, invalid
from vagus_server.packs.pack import Pack
from vagus_server.steering.actions import action_amounts
from vagus_server.steering.checks import check_concept, check_number, check_sites
from vagus_server.steering.collapse import check_collapse
from vagus_server.steering.program import ACTIONS, Envelope, Gate, Operation, Program
from vagus_server.steering.rules import resolve_scope
from vagus_server.steering.scope import PromptMap

#: Strengths arrive as float32: ten times 0.1 is a little more than 1, and still within 1.
_SLACK = 1e-6
_LONGEST = 1_000_000


class Resolver:
    """Resolves programs against one pack.

    Args:
        pack: the served pack.
        vector_of: index of each concept in the device's vector bank.
        max_operations: most operations in a program.
        max_dose: greatest sum of |dose| over operations and sites.
    """

    def __init__(
        self, pack: Pack, vector_of: dict[str, int], max_operations: int, max_dose: float
    ) -> None:
        self._pack = pack
        self._vector_of = vector_of
        self._max_operations = max_operations
        self._max_dose = max_dose

    def resolve(self, message: pb.Program, prompt: PromptMap, field: str) -> Program:
        """Returns the program, or raises ApiError with the path of the offending field."""
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
        program = Program(
            tuple(
                self._operation(operation, prompt, f"{field}.operations[{i}]")
                for i, operation in enumerate(message.operations)
            )
        )
        check_collapse(program, self._pack, field)
        if program.dose > self._max_dose * (1 + _SLACK):
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "DOSE_OVER_LIMIT",
                f"{field} has a dose of {program.dose:.3g} mean residual norms over its sites; "
                f"the server's limit is {self._max_dose:g}",
                field=field,
                dose=f"{program.dose:.6g}",
                limit=f"{self._max_dose:g}",
            )
        return program

    def _operation(self, message: pb.Operation, prompt: PromptMap, field: str) -> Operation:
        action = message.WhichOneof("action")
        if action is None:
            invalid(f"{field}.action", "must be set")
        pack = self._pack
        concept = check_concept(message.concept, f"{field}.concept", pack)
        sites: tuple[int, ...] = (pack.steering_site,)
        if message.sites:
            check_sites(message.sites, pack.sites, f"{field}.sites")
            sites = tuple(sorted(message.sites))
        amounts = action_amounts(message, pack, sites, f"{field}.{action}")
        scope, scope_text = resolve_scope(message.scope, prompt, f"{field}.scope")
        return Operation(
            action=ACTIONS[action],
            concept=concept,
            concept_digest=pack.concept_digest(concept),
            vector=self._vector_of[concept],
            sites=sites,
            a=amounts.a,
            b=amounts.b,
            doses=tuple(d / pack.residual_norms[s] for d, s in zip(amounts.forced, sites)),  # noqa: B905
            scope=scope,
            scope_text=scope_text,
            gate=self._gate(message, sites, field) if message.HasField("gate") else None,
            envelope=_envelope(message, prompt, field) if message.HasField("envelope") else None,
        )

    def _gate(self, message: pb.Operation, sites: tuple[int, ...], field: str) -> Gate:
        gate, pack, path = message.gate, self._pack, f"{field}.gate"
        concept = check_concept(gate.concept, f"{path}.concept", pack)
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
            i, at = pack.index[concept], sites[0] if site is None else site
            mean, deviation = pack.reference_mean[i, at], pack.reference_std[i, at]
            lower, upper = float(mean + lower * deviation), float(mean + upper * deviation)
        return Gate(
            concept, pack.concept_digest(concept), self._vector_of[concept], site, lower, upper
        )


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
