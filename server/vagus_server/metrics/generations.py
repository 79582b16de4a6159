"""Requests in the engine: how many, how long they wait, and their tokens."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from vagus_server.engine.running import Running
from vagus_server.metrics.buckets import INTER_TOKEN, LATENCY

KINDS = ("plain", "steered")
#: vLLM's reasons, a policy's stop, and none for calls that ended before.
_FINISH = ("stop", "length", "policy", "abort", "error", "repetition", "none")


class Generations:
    """Counts requests, from submission to the last token."""

    def __init__(self, registry: CollectorRegistry) -> None:
        r = registry
        self.queued = Gauge(
            "vagus_requests_queued", "Requests that wait for a place in the engine.", registry=r
        )
        self.places = Histogram(
            "vagus_queue_duration_seconds",
            "Time that a request waited for a place in the engine.",
            buckets=LATENCY,
            registry=r,
        )
        self.waiting = Gauge(
            "vagus_requests_waiting",
            "Requests in the engine that wait for their first token.",
            registry=r,
        )
        self.running = Gauge(
            "vagus_requests_running", "Requests that have a first token.", registry=r
        )
        self.ended = Counter(
            "vagus_generations", "Generations that ended.", ["kind", "finish"], registry=r
        )
        self.queue = Histogram(
            "vagus_engine_queue_duration_seconds",
            "Time from the engine's queue to the first forward pass.",
            buckets=LATENCY,
            registry=r,
        )
        self.prefill = Histogram(
            "vagus_prefill_duration_seconds",
            "Time from the first forward pass to the first token.",
            buckets=LATENCY,
            registry=r,
        )
        self.time_to_first_token = Histogram(
            "vagus_time_to_first_token_seconds",
            "Time from arrival to the first token, the wait in the queue included.",
            buckets=LATENCY,
            registry=r,
        )
        self.inter_token_latency = Histogram(
            "vagus_inter_token_latency_seconds",
            "Time between tokens of a request.",
            buckets=INTER_TOKEN,
            registry=r,
        )
        self.prompt_tokens = Counter(
            "vagus_prompt_tokens", "Prompt tokens of finished requests.", registry=r
        )
        self.generated_tokens = Counter("vagus_generated_tokens", "Tokens generated.", registry=r)
        self.cache_queries = Counter(
            "vagus_prefix_cache_queries",
            "Prompt tokens that were looked up in the prefix cache.",
            ["kind"],
            registry=r,
        )
        self.cache_hits = Counter(
            "vagus_prefix_cache_hits",
            "Prompt tokens that came from the prefix cache, in whole blocks.",
            ["kind"],
            registry=r,
        )
        for kind in KINDS:
            self.cache_queries.labels(kind)
            self.cache_hits.labels(kind)
            for finish in _FINISH:
                self.ended.labels(kind, finish)

    def finished(self, running: Running) -> None:
        """Counts a generation, however it ended."""
        self.ended.labels(_kind(running), running.finish_reason or "none").inc()

    def read(self, running: Running) -> None:
        """Takes a request's prompt and times; readings too."""
        tokens = len(running.request.token_ids)
        self.prompt_tokens.inc(tokens)
        if running.cached_tokens is not None:
            self.cache_queries.labels(_kind(running)).inc(tokens)
            self.cache_hits.labels(_kind(running)).inc(running.cached_tokens)
        if (times := running.times) is not None:
            self.queue.observe(times.scheduled - times.queued)
            self.prefill.observe(times.first_token - times.scheduled)


class Progress:
    """Times one running request."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._last: float | None = None
        self._tokens = 0
        generations.waiting.inc()

    def tokens(self, count: int, elapsed: float) -> None:
        """Notes tokens that came, `elapsed` seconds after the request was submitted."""
        if count == 0:
            return
        g = self._generations
        if self._last is None:
            g.time_to_first_token.observe(elapsed)
            g.waiting.dec()
            g.running.inc()
        else:
            for _ in range(count):
                g.inter_token_latency.observe((elapsed - self._last) / count)
        self._last = elapsed
        self._tokens += count
        g.generated_tokens.inc(count)

    def left(self, generated: int) -> None:
        """Notes tokens that nobody took, `generated` being those of the request in all."""
        self._generations.generated_tokens.inc(generated - self._tokens)
        self._tokens = generated

    def end(self) -> None:
        """Takes the request out of the gauges."""
        g = self._generations
        (g.waiting if self._last is None else g.running).dec()


def _kind(running: Running) -> str:
    return KINDS[bool(running.request.program)]
