"""Validates a request's program and resolves it against the pack."""

import math
from collections.abc import Sequence

import grpc

from vagus.v1 import steering_pb2 as pb
from vagus_server.errors import ApiError, invalid, nearest, not_implemented
from vagus_server.packs.pack import Pack
from vagus_server.steering.program import ALL, GENERATION, PROMPT, Operation, Program

_PHASES = {
    pb.PHASE_PROMPT: PROMPT,
    pb.PHASE_GENERATION: GENERATION,
    pb.PHASE_ALL: ALL,
}
#: Strengths beyond this are refused before any arithmetic that could overflow float32.
_LARGEST = 1e6
#: Strengths arrive as float32: ten times 0.1 is a little more than 1, and still within 1.
_SLACK = 1e-6


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

    def resolve(self, message: pb.Program, field: str) -> Program:
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
                self._operation(operation, f"{field}.operations[{i}]")
                for i, operation in enumerate(message.operations)
            )
        )
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

    def _operation(self, message: pb.Operation, field: str) -> Operation:
        action = message.WhichOneof("action")
        if action is None:
            invalid(f"{field}.action", "must be set")
        if action != "add":
            not_implemented(f"{field}.{action}", action)
        if message.HasField("gate"):
            not_implemented(f"{field}.gate", "gate")
        if message.HasField("envelope"):
            not_implemented(f"{field}.envelope", "envelope")
        concept = check_concept(message.concept, f"{field}.concept", self._pack)
        sites = self._sites(message.sites, f"{field}.sites")
        phases = _phases(message.scope, f"{field}.scope")
        lengths = self._lengths(message.add, concept, sites, f"{field}.add")
        norms = self._pack.residual_norms
        return Operation(
            concept=concept,
            concept_digest=self._pack.concept_digest(concept),
            vector=self._vector_of[concept],
            sites=sites,
            lengths=lengths,
            doses=tuple(a / norms[s] for a, s in zip(lengths, sites, strict=True)),
            phases=phases,
        )

    def _sites(self, sites: Sequence[int], field: str) -> tuple[int, ...]:
        if not sites:
            return (self._pack.steering_site,)
        check_sites(sites, self._pack.sites, field)
        return tuple(sorted(sites))

    def _lengths(
        self, add: pb.Add, concept: str, sites: tuple[int, ...], field: str
    ) -> tuple[float, ...]:
        strength = add.strength
        if not math.isfinite(strength):
            invalid(f"{field}.strength", "must be finite", value=strength)
        if abs(strength) > _LARGEST:
            invalid(f"{field}.strength", "is out of range", value=strength, limit=_LARGEST)
        if add.unit == pb.STRENGTH_UNIT_RESIDUAL:
            return tuple(strength * self._pack.residual_norms[site] for site in sites)
        if add.unit == pb.STRENGTH_UNIT_VECTOR:
            return tuple(strength * self._pack.vector_norm(concept, site) for site in sites)
        if add.unit == pb.STRENGTH_UNIT_ABSOLUTE:
            return (strength,) * len(sites)
        invalid(f"{field}.unit", "must be RESIDUAL, VECTOR or ABSOLUTE", value=add.unit)


def _phases(scope: pb.Scope, field: str) -> int:
    if getattr(scope, "except"):
        not_implemented(f"{field}.except", "exceptions")
    if not scope.include:
        return ALL
    phases = 0
    for i, rule in enumerate(scope.include):
        path = f"{field}.include[{i}]"
        kind = rule.WhichOneof("rule")
        if kind is None:
            invalid(f"{path}.rule", "must be set")
        if kind != "phase":
            not_implemented(f"{path}.{kind}", kind)
        if rule.phase not in _PHASES:
            invalid(f"{path}.phase", "must be PROMPT, GENERATION or ALL", value=rule.phase)
        phases |= _PHASES[rule.phase]
    return phases


def check_sites(chosen: Sequence[int], sites: int, field: str) -> None:
    """Raises ApiError unless all sites chosen are the model's, none of them twice."""
    seen: set[int] = set()
    for i, site in enumerate(chosen):
        path = f"{field}[{i}]"
        if site >= sites:
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "SITE_OUT_OF_RANGE",
                f"{path}: site {site} does not exist; the model has sites 0 to {sites - 1}",
                field=path,
                site=site,
                limit=sites - 1,
            )
        if site in seen:
            invalid(path, "names a site twice", value=site)
        seen.add(site)


def check_concept(name: str, field: str, pack: Pack) -> str:
    """Returns the name, or raises ApiError, with the nearest name that the pack has."""
    if not name:
        invalid(field, "must be set")
    if name in pack.index:
        return name
    hint = nearest(name, pack.index)
    message = f"{field}: the pack {pack.name} has no such concept"
    raise ApiError(
        grpc.StatusCode.NOT_FOUND,
        "CONCEPT_NOT_FOUND",
        f"{message}; did you mean {hint}?" if hint else message,
        field=field,
        concept=name,
        nearest=hint,
    )
