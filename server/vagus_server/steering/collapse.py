"""Refuses doses that were measured to make the text fall apart."""

from collections import defaultdict

import grpc

from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack
from vagus_server.steering.program import Program

#: Strengths arrive as float32: 0.4 is a little more or less, and reaches 0.4 either way.
_SLACK = 1e-6


def check_collapse(program: Program, pack: Pack, field: str) -> None:
    """Raises ApiError where a concept reaches its collapse dose at a site.

    The pack has it from `vagus-server experiment dose --store`. Operations along one concept add
    up; a dose away from it counts like one towards it.
    """
    doses: dict[tuple[str, int], float] = defaultdict(float)
    for operation in program.operations:
        for site, dose in zip(operation.sites, operation.doses, strict=True):
            doses[operation.concept, site] += abs(dose)
    for (concept, site), dose in doses.items():
        limit = pack.collapse_dose(concept, site)
        if limit is not None and dose >= limit * (1 - _SLACK):
            raise ApiError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "DOSE_OVER_LIMIT",
                f"{field} has a dose of {dose:.3g} mean residual norms along {concept} at site "
                f"{site}; it must stay below {limit:g}, where the text was measured to fall apart",
                field=field,
                dose=f"{dose:.6g}",
                limit=f"{limit:g}",
                concept=concept,
                site=site,
            )
