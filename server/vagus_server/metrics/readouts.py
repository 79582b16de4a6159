"""Z-scores of all traffic, read or not, per concept."""

from collections.abc import Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Counter

from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sinks
from vagus_server.metrics.tenants import Tenants
from vagus_server.metrics.z_histogram import ZHistogram
from vagus_server.packs.pack import Pack
from vagus_server.readouts.render import AFTER


class Readouts:
    """Turn means and last prompt tokens, after steering, at the pack's readout site.

    Args:
        pack: for z-scores.
        concepts: those of the pack that are counted.
        readout_site: index of the monitored site among the served readout sites.
        tenants: takes the turns as well.
        registry: where the metrics live.
    """

    def __init__(
        self,
        pack: Pack,
        concepts: Sequence[str],
        readout_site: int,
        tenants: Tenants,
        registry: CollectorRegistry,
    ) -> None:
        chosen = [pack.index[concept] for concept in concepts]
        self._columns = (readout_site, chosen, AFTER)
        self._mean = pack.reference_mean[chosen, pack.readout_site]
        self._std = pack.reference_std[chosen, pack.readout_site]
        self._tenants = tenants
        self._bytes_seen = 0
        self.bytes = Counter(
            "vagus_readout_bytes", "Bytes of readouts and marks from the engine.", registry=registry
        )
        self.turn_mean = ZHistogram(
            "vagus_concept_turn_mean_z",
            "Mean z-score of a concept over a turn's generated tokens.",
            concepts,
            registry,
        )
        self.last_prompt_token = ZHistogram(
            "vagus_concept_last_prompt_token_z",
            "Z-score of a concept at the last prompt token.",
            concepts,
            registry,
        )

    def finished(self, running: Running) -> None:
        """Takes a generation's turn, however it ended."""
        sink = running.sink
        if sink.turn_sum is not None:
            z = self._z(sink.turn_sum / max(sink.turn_tokens, 1))
            # Activations can overflow; one such value would stay in a sum for good.
            if np.isfinite(z).all():
                self.turn_mean.observe(z)
                self._tenants.turn(running.request.tenant, z)
        if sink.last_prompt_token is not None:
            z = self._z(sink.last_prompt_token)
            if np.isfinite(z).all():
                self.last_prompt_token.observe(z)

    def read(self, sinks: Sinks) -> None:
        """Takes what came from the engine since the last call."""
        self.bytes.inc(sinks.readout_bytes - self._bytes_seen)
        self._bytes_seen = sinks.readout_bytes

    def _z(self, row: np.ndarray) -> np.ndarray:
        """float [concepts] of a row [readout sites, concepts, 2]."""
        z: np.ndarray = (row[self._columns] - self._mean) / self._std
        return z
