"""Reads steering and concept lists from the command line."""

import re
from collections.abc import Sequence

import typer

from vagus._operation import Operation, Unit, add
from vagus._scope import TokenSet
from vagus._selection import Readouts

_STEER = re.compile(r"(?P<concept>[^=@]+)=(?P<strength>[^=@]+)(?:@(?P<sites>\d+(?:[,-]\d+)*))?")


def parse_steer(steer: Sequence[str], unit: Unit, scope: TokenSet) -> list[Operation]:
    """Operations out of "calm=0.3", "calm=0.3@15", "calm=0.3@10-12,15".

    Raises:
        typer.BadParameter: One of them is not of that form.
    """
    return [_parse_one(each, unit, scope) for each in steer]


def parse_concepts(read: str | None) -> list[str] | Readouts | None:
    """Names out of "calm,desperate", none out of "none", the selection of all out of "all"."""
    if read == "all":
        return Readouts()
    if read == "none":
        return []
    names = (name.strip() for name in (read or "").split(","))
    return [*dict.fromkeys(name for name in names if name)] or None


def _parse_one(text: str, unit: Unit, scope: TokenSet) -> Operation:
    match = _STEER.fullmatch(text)
    try:
        if match is None:
            raise ValueError(text)
        strength = float(match["strength"])
        sites = _site_list(match["sites"] or "")
    except ValueError as error:
        form = "CONCEPT=STRENGTH or CONCEPT=STRENGTH@SITES, like calm=0.3@15 or calm=0.1@10-12,15"
        raise typer.BadParameter(f"{text!r} is not of the form {form}") from error
    return add(match["concept"].strip(), strength, unit, sites, scope)


def parse_sites(text: str) -> list[int]:
    """Sites out of "15" or "10-12,15"; none out of "".

    Raises:
        typer.BadParameter: It is not of that form.
    """
    try:
        return _site_list(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not of the form 15 or 10-12,15") from error


def _site_list(text: str) -> list[int]:
    return [site for part in text.split(",") for site in _sites(part)]


def _sites(part: str) -> range:
    if not part:
        return range(0)
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)
