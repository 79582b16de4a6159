"""Whose traffic it is, and how its turns read on average."""

from collections.abc import Iterator, Sequence

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from vagus_server.metrics.labels import NO_TENANT, OTHER_TENANTS, Labels

_KINDS = ("prompt", "generated", "steered")
_SIGNS = ("positive", "negative")


class Tenants(Collector):
    """Counters by tenant, as many as there is room for; the others share one label.

    Sums of z are kept as two counters, one for each sign: a counter cannot fall, and the
    difference of their rates is the exact mean over any window.

    Args:
        names: tenants with a label of their own from the start.
        free: how many more get one, in the order in which they call.
        concepts: the label's values.
        registry: where the metrics live.
    """

    def __init__(
        self, names: Sequence[str], free: int, concepts: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._labels = Labels((NO_TENANT, *names), OTHER_TENANTS, free)
        self._concepts = list(concepts)
        room = self._labels.capacity
        self._tokens = np.zeros((room, len(_KINDS)), dtype=np.int64)
        self._turns = np.zeros(room, dtype=np.int64)
        #: float64 [tenants, signs, concepts]
        self._z = np.zeros((room, len(_SIGNS), len(self._concepts)))
        registry.register(self)

    def read(self, tenant: str, prompt: int, generated: int, steered: int) -> None:
        """Counts a request's tokens."""
        self._tokens[self._index(tenant)] += (prompt, generated, steered)

    def turn(self, tenant: str, z: np.ndarray) -> None:
        """Takes a turn's mean z-scores, float [concepts]."""
        i = self._index(tenant)
        self._turns[i] += 1
        self._z[i] += (np.maximum(z, 0), np.maximum(-z, 0))

    def _index(self, tenant: str) -> int:
        return self._labels.index(tenant or NO_TENANT)

    def describe(self) -> list[Metric]:
        """Names the metrics without their samples."""
        return list(self._families())

    def _families(self) -> tuple[CounterMetricFamily, CounterMetricFamily, CounterMetricFamily]:
        return (
            CounterMetricFamily(
                "vagus_tenant_tokens", "Tokens by tenant.", labels=["tenant", "kind"]
            ),
            CounterMetricFamily(
                "vagus_tenant_turns", "Turns that were read, by tenant.", labels=["tenant"]
            ),
            CounterMetricFamily(
                "vagus_tenant_concept_z",
                "Sum of |mean z of a turn| over the turns where it had this sign.",
                labels=["tenant", "concept", "sign"],
            ),
        )

    def collect(self) -> Iterator[Metric]:
        """The samples, for the metrics page."""
        tokens, turns, sums = self._families()
        for i, tenant in enumerate(self._labels.values):
            for kind, count in zip(_KINDS, self._tokens[i].tolist(), strict=True):
                tokens.add_metric([tenant, kind], count)
            turns.add_metric([tenant], int(self._turns[i]))
            for sign, row in zip(_SIGNS, self._z[i].tolist(), strict=True):
                for concept, value in zip(self._concepts, row, strict=True):
                    sums.add_metric([tenant, concept, sign], value)
        yield from (tokens, turns, sums)
