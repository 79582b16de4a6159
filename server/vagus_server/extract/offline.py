"""vLLM in this process, for extraction: token ids in, sums of the residual stream out.

Requests are fed as places come free, so that the engine batches them as it likes; what leaves
the device is one sum per span, never the stream of a token.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import Order, OrderOperation, Range, order_to_extra_args

_WORKER = "vagus_server.plugin.extract_worker.ExtractWorker"


class TapError(RuntimeError):
    """The engine did not sum up what it was asked to."""


@dataclass(frozen=True)
class Job:
    """One request.

    Args:
        token_ids: the prompt.
        spans: positions to be summed, each on its own; an end past the text is the text's.
        read: positions whose readouts go into the moments.
        operations: how it is steered.
        sampling: keyword arguments of vLLM's SamplingParams; a prefill alone by default.
    """

    token_ids: list[int]
    spans: tuple[Range, ...] = ()
    read: tuple[Range, ...] = ()
    operations: tuple[OrderOperation, ...] = ()
    sampling: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    index: int
    #: Generated tokens.
    token_ids: list[int]
    #: float64 [spans, sites, hidden], means of the stream; NaN for a span without positions.
    means: np.ndarray
    #: float64 [spans, sites], means of |x|.
    norms: np.ndarray
    #: int64 [spans], number of positions.
    counts: np.ndarray
    #: Log-probability of each prompt token but the first, if the sampling asked for it.
    prompt_logprobs: list[float]


class OfflineEngine:
    """Owns a vLLM engine whose worker is an ExtractWorker.

    Args:
        settings: of the engine.
        sites: decoder layers of the model.
        hidden: width of the residual stream.
        concepts: how many are read, at all sites.
        vectors: room for further vectors, to steer with.
        groups: spans that can be summed up at once.

    Raises:
        Unsupported: this model or setting cannot be tapped.
    """

    def __init__(
        self,
        settings: EngineSettings,
        sites: int,
        hidden: int,
        concepts: int,
        vectors: int = 64,
        groups: int = 512,
    ) -> None:
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        # On a CPU vLLM leaves a core to its frontend, which is idle here.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        from vllm.v1.engine.llm_engine import LLMEngine

        plugin = PluginConfig(
            sites=sites,
            hidden_size=hidden,
            readout_sites=tuple(range(sites)),
            concepts=concepts,
            slots=settings.max_running + 1,
            vectors=concepts + vectors + 1,
            tap_groups=groups,
        )
        options = {
            **settings.engine_options,
            # Every text is read whole, and the same texts give the same batches.
            "enable_prefix_caching": False,
            "async_scheduling": False,
        }
        settings = replace(settings, engine_options=options)
        config, self.plugin = vllm_config(settings, plugin, worker=_WORKER)
        self._config = config
        self._llm: Any = LLMEngine.from_vllm_config(config)
        self._max_running = settings.max_running
        self._free = list(range(groups))
        self._vectors: dict[int, int] = {}

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, from transformers."""
        return self._llm.get_tokenizer()

    @property
    def longest(self) -> int:
        """Most tokens of a text: one less than the context, as one is always generated."""
        return int(self._config.model_config.max_model_len) - 1

    def put_vectors(self, first: int, vectors: np.ndarray) -> None:
        """Writes vectors [n, sites, hidden] into the bank from index `first` (1 or more) on."""
        for i, vector in enumerate(vectors.astype("<f2")):
            if not self._rpc("vagus_put_vectors", first + i, vector.tobytes()):
                raise RuntimeError(f"a running request uses row {first + i} of the vector bank")

    def read_vectors(self, indices: list[int]) -> None:
        """Reads these vectors of the bank, in this order."""
        self._rpc("vagus_put_readout_vectors", indices)

    def take_moments(self) -> tuple[int, np.ndarray]:
        """Positions read since the last call; float64 [2, sites, concepts], sums and squares."""
        number, data = self._rpc("vagus_take_moments")
        c = self.plugin
        return number, np.frombuffer(data).reshape(2, c.sites, c.concepts)

    def run(self, jobs: Iterable[Job]) -> Iterator[Done]:
        """Runs jobs; yields them as they end, which is not their order.

        Raises:
            ValueError: a text is empty, or longer than the model's context.
            TapError: a span's sums are missing, or not of its positions.
        """
        waiting = enumerate(jobs)
        running: dict[str, tuple[int, Job, list[int]]] = {}
        held: tuple[int, Job] | None = next(waiting, None)
        while held or running:
            while held and len(running) < self._max_running and self._fits(held[1]):
                index, job = held
                if not 0 < len(job.token_ids) <= self.longest:
                    # vLLM's own error is no ValueError.
                    raise ValueError(
                        f"text {index + 1} has {len(job.token_ids)} tokens; the model takes 1 to "
                        f"{self.longest}"
                    )
                groups = [self._free.pop() for _ in job.spans]
                self._add(str(index), job, groups)
                running[str(index)] = index, job, groups
                held = next(waiting, None)
            ended = [output for output in self._llm.step() if output.finished]
            if ended:
                yield from self._collect([(o, *running.pop(o.request_id)) for o in ended])

    def _fits(self, job: Job) -> bool:
        return len(job.spans) <= len(self._free)

    def _add(self, request_id: str, job: Job, groups: list[int]) -> None:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input

        order = Order(
            operations=job.operations,
            digest=msgspec.msgpack.encode(job.operations) if job.operations else b"",
            read=job.read,
            tap=tuple((g, *span) for g, span in zip(groups, job.spans, strict=True)),
        )
        parameters = SamplingParams(
            **({"max_tokens": 1, "temperature": 0.0, "detokenize": False} | job.sampling),
            extra_args=order_to_extra_args(order),
        )
        self._llm.add_request(request_id, tokens_input(job.token_ids), parameters)

    def _collect(self, ended: list[tuple[Any, int, Job, list[int]]]) -> Iterator[Done]:
        groups = [group for *_, mine in ended for group in mine]
        c = self.plugin
        rows, data = self._rpc("vagus_take_sums", groups)
        sums = np.frombuffer(data, dtype="<f4").reshape(c.sites, len(groups), c.hidden_size + 1)
        sums = sums.astype(np.float64).transpose(1, 0, 2)
        self._free += groups
        at = 0
        for output, index, job, mine in ended:
            end = at + len(mine)
            yield self._done(output, index, job, sums[at:end], rows[at:end])
            at = end

    def _done(self, output: Any, index: int, job: Job, sums: np.ndarray, rows: list[int]) -> Done:
        tokens = list(output.outputs[0].token_ids)
        end = len(job.token_ids) + len(tokens) - 1  # the last token is never processed
        counts = np.array([max(0, min(b, end) - a) for a, b in job.spans], dtype=np.int64)
        if rows != counts.tolist():
            raise TapError(f"text {index}: {rows} positions were summed, not {counts.tolist()}")
        if (sums[counts > 0, :, -1] <= 0).any() or not np.isfinite(sums).all():
            raise TapError(f"text {index}: sums are missing or not finite")
        number = counts[:, None].astype(np.float64)
        with np.errstate(invalid="ignore"):
            return Done(
                index=index,
                token_ids=tokens,
                means=sums[:, :, :-1] / number[:, :, None],
                norms=sums[:, :, -1] / number,
                counts=counts,
                prompt_logprobs=_logprobs(job.token_ids, output.prompt_logprobs),
            )

    def _rpc(self, method: str, *args: Any) -> Any:
        # Ranks hold the same stream; the first one's answer is everyone's.
        return self._llm.collective_rpc(method, args=args)[0]

    def close(self) -> None:
        """Stops the engine."""
        self._llm.engine_core.shutdown()
        self._llm = None


def _logprobs(token_ids: list[int], given: Any) -> list[float]:
    if not given:
        return []
    rows = list(given)[1:]
    return [float(row[token].logprob) for row, token in zip(rows, token_ids[1:], strict=True)]


def model_shape(folder: Path) -> tuple[int, int]:
    """Decoder layers and width of the residual stream, by the model's configuration."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder, local_files_only=True).get_text_config()
    return int(config.num_hidden_layers), int(config.hidden_size)
