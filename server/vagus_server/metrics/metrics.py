"""What Prometheus sees of steering and readouts, beside vLLM's own metrics.

Every series exists from the start: a rate over a series that appears with its first event
misses that event. Labels are bounded: concepts are the pack's, chosen in the configuration,
and tenants beyond the first few share a label.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import REGISTRY, CollectorRegistry, disable_created_metrics

from vagus_server.concepts.registry import Registry
from vagus_server.engine.rows import Rows
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sinks
from vagus_server.health import Health
from vagus_server.metrics.calls import Calls
from vagus_server.metrics.engine import EngineState
from vagus_server.metrics.generations import Generations, Progress
from vagus_server.metrics.policies import PolicyMetrics
from vagus_server.metrics.readouts import Readouts
from vagus_server.metrics.steering import Steering
from vagus_server.metrics.tenants import Tenants
from vagus_server.packs.pack import Pack
from vagus_server.services.admission import Admission
from vagus_server.steering.program import Program

#: Tenants that get a label of their own where none are named.
FREE_TENANTS = 16


class Metrics:
    """All metrics of one server.

    Args:
        pack: the served pack, for z-scores.
        concepts: those of the pack that get series.
        model: name of the served model.
        slots: capacity of the program table.
        readout_site: index of the monitored site among the served readout sites.
        tenants: the only ones with a label of their own; empty gives the first 16 one.
        registry: where the metrics live.
    """

    def __init__(
        self,
        pack: Pack,
        concepts: Sequence[str],
        model: str,
        slots: int,
        readout_site: int = 0,
        tenants: Sequence[str] = (),
        registry: CollectorRegistry = REGISTRY,
    ) -> None:
        # The *_created series double the page and nothing here reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.calls = Calls(registry)
        self.generations = Generations(registry)
        self.steering = Steering(concepts, slots, registry)
        self.tenants = Tenants(tenants, 0 if tenants else FREE_TENANTS, concepts, registry)
        self.readouts = Readouts(pack, concepts, readout_site, self.tenants, registry)
        self.engine = EngineState(model, registry)
        self.policies = PolicyMetrics(registry)

    def request(self, method: str, code: str, seconds: float, reason: str = "") -> None:
        """Counts a finished call; `reason` is the error's, if it had one."""
        self.calls.ended(method, code, seconds, reason)

    @contextmanager
    def running(self, program: Program) -> Iterator[Progress]:
        """Counts a request as waiting, then running, until the block ends."""
        progress = Progress(self.generations)
        self.steering.begin(program)
        try:
            yield progress
        finally:
            progress.end()
            self.steering.end(program)

    def finished(self, running: Running, sinks: Sinks) -> None:
        """Takes a generation's readouts and receipt, however it ended."""
        self.read(running, sinks)
        self.generations.finished(running)
        self.readouts.finished(running)

    def read(self, running: Running, sinks: Sinks) -> None:
        """Takes a request's tokens and receipt; readings have nothing more."""
        self.generations.read(running)
        steered = self.steering.read(running)
        self.readouts.read(sinks)
        request = running.request
        # A reading's one token is vLLM's, not the caller's.
        generated = running.generated if request.monitor else 0
        self.tenants.read(request.tenant, len(request.token_ids), generated, steered)

    def queued(self, seconds: float) -> None:
        """Notes that a request got its place in the engine after so many seconds."""
        self.generations.places.observe(seconds)

    def watch_flow(self, admission: Admission, health: Health) -> None:
        """Shows, from now on, how many requests wait for a place, and whether any are taken."""
        self.generations.queued.set_function(lambda: admission.waiting)
        self.engine.ready.set_function(lambda: health.is_ready)

    def changed(self, made: bool) -> None:
        """Counts a change of a running request, or one that was refused."""
        self.steering.changes.labels("made" if made else "refused").inc()

    def watch(self, registry: Registry, rows: Rows) -> None:
        """Shows, from now on, the concepts of a registry and the rows of a vector bank."""
        self.engine.watch(registry, rows)

    def worker(self, requests: int, slots: int) -> None:
        """Takes what the workers report of their tables."""
        self.engine.worker(requests, slots)

    def canary(self, passed: bool) -> None:
        """Counts a run of the canary."""
        self.engine.canary(passed)
