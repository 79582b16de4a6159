"""Refuses doses that were measured to make the text fall apart."""

from dataclasses import dataclass

import grpc
import numpy as np

from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack
from vagus_server.steering.program import Program

#: Strengths arrive as float32: 0.4 is a little more or less, and reaches 0.4 either way.
_SLACK = 1e-6
#: |Cosine| from which on a direction counts as a concept's, whatever it is called.
_SAME = 0.99


@dataclass(frozen=True)
class _Site:
    """What is limited at a site: k concepts.

    Args:
        concepts: their names.
        limits: in mean residual norms, float64 [k].
        directions: unit vectors, float32 [k, hidden].
    """

    concepts: list[str]
    limits: np.ndarray
    directions: np.ndarray


class Collapse:
    """Holds programs against the collapse doses of a pack.

    The pack has them from `vagus-server experiment dose --store`. Operations along one direction
    add up; a dose away from it counts like one towards it. Directions are compared, not names:
    the same one could be uploaded under another, or come with the request.
    """

    def __init__(self, pack: Pack) -> None:
        self._sites = {
            site: found for site in range(pack.sites) if (found := _limited(pack, site)) is not None
        }

    def check(self, program: Program, field: str) -> None:
        """Raises ApiError where the doses along a concept reach its limit at a site."""
        for site, limited in self._sites.items():
            acting = [operation for operation in program.operations if site in operation.sites]
            if not acting:
                continue
            units = np.array(
                [o.vectors.array[site] / o.vectors.norms[site] for o in acting], dtype=np.float32
            )
            along = np.abs(limited.directions @ units.T) > _SAME
            doses = along @ np.abs([o.doses[o.sites.index(site)] for o in acting])
            over = np.flatnonzero(doses >= limited.limits * (1 - _SLACK))
            if len(over):
                k = over[0]
                limit = float(limited.limits[k])
                raise _refusal(limited.concepts[k], site, float(doses[k]), limit, field)


def _limited(pack: Pack, site: int) -> _Site | None:
    limits = {name: pack.collapse_dose(name, site) for name in pack.names}
    found = {name: limit for name, limit in limits.items() if limit is not None}
    if not found:
        return None
    rows = pack.vectors[[pack.index[name] for name in found], site]
    directions = rows / np.array([[pack.vector_norm(name, site)] for name in found])
    return _Site(list(found), np.array(list(found.values())), directions.astype(np.float32))


def _refusal(concept: str, site: int, dose: float, limit: float, field: str) -> ApiError:
    return ApiError(
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
