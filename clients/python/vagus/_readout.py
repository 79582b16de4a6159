"""Readouts: projections of the residual stream on concepts, with the names filled in."""

from collections.abc import Sequence
from dataclasses import dataclass

from vagus._errors import DataLoss
from vagus.v1 import readout_pb2 as pb


@dataclass(frozen=True, slots=True)
class SiteReadout:
    """The readouts of one token, or their mean over several, at one site.

    Every list that was asked for has one value per entry of `concepts`; the others are empty.

    Attributes:
        site: The site.
        concepts: What the values are of. Best first for top-k selections.
        before: Raw projections before this site's steering.
        after: Raw projections after it.
        before_z: Z-scores before this site's steering.
        after_z: Z-scores after it.
    """

    site: int
    concepts: tuple[str, ...]
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    before_z: tuple[float, ...] = ()
    after_z: tuple[float, ...] = ()

    @property
    def z(self) -> dict[str, float]:
        """Z-score per concept, after steering if that was returned, else before."""
        return dict(zip(self.concepts, self.after_z or self.before_z, strict=False))

    @property
    def raw(self) -> dict[str, float]:
        """Raw projection per concept, after steering if that was returned, else before."""
        return dict(zip(self.concepts, self.after or self.before, strict=False))


@dataclass(frozen=True, slots=True)
class Readout:
    """Readouts at one or more sites, ascending."""

    sites: tuple[SiteReadout, ...]

    @property
    def z(self) -> dict[str, float]:
        """Z-score per concept at the first site."""
        return self.sites[0].z if self.sites else {}

    @property
    def raw(self) -> dict[str, float]:
        """Raw projection per concept at the first site."""
        return self.sites[0].raw if self.sites else {}

    def at(self, site: int) -> SiteReadout:
        """The readouts at one site.

        Raises:
            KeyError: That site was not read.
        """
        for readout in self.sites:
            if readout.site == site:
                return readout
        raise KeyError(site)


@dataclass(frozen=True, slots=True)
class TokenReadout(Readout):
    """The readouts of the token at a position (0 is the prompt's first)."""

    position: int


@dataclass(frozen=True, slots=True)
class TurnReadout(Readout):
    """Mean readouts over a number of tokens."""

    tokens: int


def token_readout(message: pb.TokenReadout, concepts: tuple[str, ...]) -> TokenReadout:
    """Decode a token's readouts; `concepts` are those of the layout."""
    return TokenReadout(_site_readouts(message.sites, concepts), message.position)


def turn_readout(message: pb.TurnReadout, concepts: tuple[str, ...]) -> TurnReadout:
    """Decode mean readouts; `concepts` are those of the layout."""
    return TurnReadout(_site_readouts(message.sites, concepts), message.tokens)


def _site_readouts(
    messages: Sequence[pb.SiteReadout], concepts: tuple[str, ...]
) -> tuple[SiteReadout, ...]:
    return tuple([_site_readout(message, concepts) for message in messages])


def _site_readout(message: pb.SiteReadout, concepts: tuple[str, ...]) -> SiteReadout:
    names = concepts
    if message.concepts:
        if max(message.concepts) >= len(concepts):
            raise DataLoss(f"a readout names concept {max(message.concepts)} of {len(concepts)}")
        names = tuple([concepts[index] for index in message.concepts])
    before, after = tuple(message.before), tuple(message.after)
    before_z, after_z = tuple(message.before_z), tuple(message.after_z)
    count = len(names)
    for values in (before, after, before_z, after_z):
        if values and len(values) != count:
            raise DataLoss(f"a readout does not have one value for each of {count} concepts")
    return SiteReadout(message.site, names, before, after, before_z, after_z)
