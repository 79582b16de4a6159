"""Checks of names, sites and numbers that programs and readout selections share."""

import math
from collections.abc import Iterable, Sequence

import grpc

from vagus_server.errors import ApiError, invalid, nearest
from vagus_server.packs.pack import Pack

#: Numbers beyond this are refused before any arithmetic that could overflow float32.
LARGEST = 1e6


def check_number(value: float, field: str) -> float:
    """Returns the value, or raises ApiError unless it is finite and of a sane size."""
    if not math.isfinite(value):
        invalid(field, "must be finite", value=value)
    if abs(value) > LARGEST:
        invalid(field, "is out of range", value=value, limit=LARGEST)
    return value


def check_sites(chosen: Sequence[int], sites: int, field: str, single: bool = False) -> None:
    """Raises ApiError unless all sites chosen are the model's, none of them twice."""
    seen: set[int] = set()
    for i, site in enumerate(chosen):
        path = field if single else f"{field}[{i}]"
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
    if name not in pack.index:
        raise unknown_concept(name, field, pack.index, pack)
    return name


def unknown_concept(name: str, field: str, names: Iterable[str], pack: Pack) -> ApiError:
    """The refusal of a name that is not one of those there are."""
    if not name:
        invalid(field, "must be set")
    hint = nearest(name, names)
    message = f"{field}: neither the pack {pack.name} nor the tenant has such a concept"
    return ApiError(
        grpc.StatusCode.NOT_FOUND,
        "CONCEPT_NOT_FOUND",
        f"{message}; did you mean {hint}?" if hint else message,
        field=field,
        concept=name,
        nearest=hint,
    )
