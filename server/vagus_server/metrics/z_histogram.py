"""Histograms of z-scores: one per concept, filled for all concepts at once."""

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from vagus_server.metrics.buckets import Z


class ZHistogram(Collector):
    """A histogram with the label `concept`; there is no sum, since z can be negative.

    A loop over the client library's children would take a millisecond of every request.

    Args:
        name, text: of the metric.
        concepts: the label's values.
        registry: where it lives.
    """

    def __init__(
        self, name: str, text: str, concepts: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name, self._text = name, text
        self._concepts = list(concepts)
        self._rows = np.arange(len(self._concepts))
        #: int64 [concepts, bounds + 1]
        self._counts = np.zeros((len(self._concepts), len(Z) + 1), dtype=np.int64)
        registry.register(self)

    def observe(self, z: np.ndarray) -> None:
        """Counts one value per concept, float [concepts]."""
        # A bucket holds what is less than or equal to its bound.
        self._counts[self._rows, np.searchsorted(Z, z, side="left")] += 1

    def describe(self) -> list[Metric]:
        """Names the metric without its samples."""
        return [Metric(self._name, self._text, "histogram")]

    def collect(self) -> Iterator[Metric]:
        """The samples, for the metrics page."""
        metric = Metric(self._name, self._text, "histogram")
        bounds = [*map(floatToGoString, Z), "+Inf"]
        for concept, counts in zip(self._concepts, self._counts.cumsum(axis=1), strict=True):
            for bound, count in zip(bounds, counts.tolist(), strict=True):
                metric.add_sample(f"{self._name}_bucket", {"concept": concept, "le": bound}, count)
            metric.add_sample(f"{self._name}_count", {"concept": concept}, int(counts[-1]))
        yield metric
