"""A concept as programs use it, whoever it belongs to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import grpc

from vagus_server.concepts.vectors import Vectors
from vagus_server.errors import ApiError
from vagus_server.packs.pack import Pack


class Reference(NamedTuple):
    """How reference traffic projects on a concept's unit direction at a site."""

    mean: float
    deviation: float


@dataclass(frozen=True)
class Concept:
    """A direction with a name.

    Args:
        name: empty for inline vectors.
        vectors: its contents.
        reference: by site, where it is known.
        description: what it stands for.
        created: when it was uploaded (RFC 3339); empty for all others.
    """

    name: str
    vectors: Vectors
    reference: Mapping[int, Reference] = field(default_factory=dict)
    description: str = ""
    created: str = ""

    def check_covers(self, sites: Sequence[int], path: str) -> None:
        """Raises SITE_NOT_COVERED unless there is a vector at each of the sites."""
        for site in sites:
            if not self.vectors.norms[site]:
                raise ApiError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "SITE_NOT_COVERED",
                    f"{path}: the concept has no vector at site {site}",
                    field=path,
                    concept=self.name,
                    site=site,
                )


def pack_concepts(pack: Pack) -> dict[str, Concept]:
    """The concepts of a pack by name, in its order."""
    return {
        info.name: Concept(
            name=info.name,
            vectors=Vectors.of(pack.vectors[i]),
            reference={
                site: Reference(float(mean), float(deviation))
                for site, (mean, deviation) in enumerate(
                    zip(pack.reference_mean[i], pack.reference_std[i], strict=True)
                )
            },
            description=info.description,
        )
        for i, info in enumerate(pack.manifest.concepts)
    }
