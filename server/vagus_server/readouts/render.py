"""Turns rows of projections into readout messages."""

from typing import TYPE_CHECKING

import numpy as np

from vagus.v1 import readout_pb2 as pb
from vagus_server.packs.pack import Pack
from vagus_server.readouts.selection import Selection

if TYPE_CHECKING:
    from google.protobuf.internal.containers import RepeatedCompositeFieldContainer

BEFORE, AFTER = 0, 1


class Renderer:
    """Renders one request's readouts.

    Args:
        selection: what was asked for.
        pack: names and reference statistics.
        readout_sites: the served readout sites, in the order of the rows' first axis.
    """

    def __init__(self, selection: Selection, pack: Pack, readout_sites: tuple[int, ...]) -> None:
        self._selection = selection
        self._pack = pack
        self.readout_sites = readout_sites
        self._sites = [readout_sites[i] for i in selection.sites]
        self._concepts = np.array(selection.concepts, dtype=np.intp)
        #: Of what is rendered, in a row: [sites, 1].
        self._at = np.array(selection.sites, dtype=np.intp)[:, None]
        every_site = np.array(self._sites)[:, None]
        # [sites, concepts, 1]
        self._mean = pack.reference_mean[self._concepts, every_site][..., None]
        self._std = pack.reference_std[self._concepts, every_site][..., None]

    def layout(self) -> pb.ReadoutLayout:
        """The layout that all messages of the request refer to."""
        names = [self._pack.names[i] for i in self._concepts]
        return pb.ReadoutLayout(concepts=names, sites=self._sites, pack_digest=self._pack.digest)

    def fill(self, message: pb.TokenReadout, position: int, row: np.ndarray) -> None:
        """Writes one token's readouts, from float32 [readout sites, concepts, 2], to a message."""
        message.position = position
        self._fill_sites(message.sites, row, True)

    def turn(self, total: np.ndarray, tokens: int) -> pb.TurnReadout:
        """The mean over a turn from the sum of its rows, float32 [sites, concepts, 2]."""
        mean = total / max(tokens, 1)
        message = pb.TurnReadout(tokens=tokens)
        self._fill_sites(message.sites, mean, False)
        return message

    def _fill_sites(
        self,
        messages: "RepeatedCompositeFieldContainer[pb.SiteReadout]",
        row: np.ndarray,
        top: bool,
    ) -> None:
        chosen = row[self._at, self._concepts]
        z = (chosen - self._mean) / self._std
        for i, site in enumerate(self._sites):
            self._fill_site(messages.add(site=site), chosen[i], z[i], top)

    def _fill_site(
        self, message: pb.SiteReadout, raw: np.ndarray, z: np.ndarray, top: bool
    ) -> None:
        selection = self._selection
        if selection.top_k and top:
            best = np.argsort(-z[:, AFTER], kind="stable")[: selection.top_k]
            message.concepts.extend(best.tolist())
            raw, z = raw[best], z[best]
        if selection.raw and selection.before:
            message.before.extend(raw[:, BEFORE].tolist())
        if selection.raw and selection.after:
            message.after.extend(raw[:, AFTER].tolist())
        if selection.z_score and selection.before:
            message.before_z.extend(z[:, BEFORE].tolist())
        if selection.z_score and selection.after:
            message.after_z.extend(z[:, AFTER].tolist())
