"""vLLM with the plugin, engine and worker in one process: small models, seconds to start."""

import itertools
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest

from support.server_process import V2_ON_CPU
from support.small_pack import small_registry
from vagus.v1 import steering_pb2
from vagus_server.concepts.concept import pack_concepts
from vagus_server.engine.adapters import adapter_request
from vagus_server.engine.request import EngineOutput, EngineRequest
from vagus_server.engine.running import Running
from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.packs.pack import Pack
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_END, OVER, Order, encode_order, order_to_extra_args
from vagus_server.services.receipt import receipt_message
from vagus_server.steering.program import Program
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

EVERYWHERE = ((0, NO_END),)
#: At most, on a busy machine.
_START_SECONDS, _BATCH_SECONDS = 300, 60
Serve = Callable[..., list[list["Result"]]]


@dataclass
class Result:
    """What one request brought.

    rows: [readout sites, concepts, 2] by position.
    passes: first position and tokens of each.
    turn: sum over the turn's rows, and their number.
    cached: leading tokens that were not computed.
    parts: programs with the positions from which on they held, as far as was told.
    """

    prompt: list[int]
    ids: list[int] = field(default_factory=list)
    rows: dict[int, np.ndarray] = field(default_factory=dict)
    receipt: steering_pb2.Receipt = field(default_factory=steering_pb2.Receipt)
    passes: list[tuple[int, int]] = field(default_factory=list)
    turn: tuple[Any, int] = (None, 0)
    cached: int = 0
    parts: list[tuple[int, steering_pb2.Program]] = field(default_factory=list)


@dataclass(frozen=True)
class Change:
    """The program of a batch's request is replaced, after so many steps of the engine."""

    step: int
    request: int
    program: steering_pb2.Program


@dataclass
class Batch:
    """Requests that run together: prompts with programs, greedy, every position read.

    cache: prompts may come from the prefix cache, and are not read where they do.
    follows: so many tokens of the text that the batch before brought, of the request at the
        same place, come before each prompt.
    """

    requests: list[tuple[list[int], steering_pb2.Program]]
    tokens: int = 12
    adapter: str = ""
    changes: list[Change] = field(default_factory=list)
    cache: bool = False
    follows: int = 0


def serve(model: Path, pack: Pack, *batches: Batch, **options: Any) -> list[list[Result]]:
    """Runs batches one after the other on a new engine.

    Args:
        model: folder.
        pack: every site is read.
        batches: what is run.
        options: of EngineSettings and, in `engine_options`, of vLLM; and what the engine must
            say of itself: `installed`, how each site is, and `runner`.
    """
    expected = {name: options.pop(name) for name in ("installed", "runner") if name in options}
    with _Offline(model, pack, **options) as engine:
        found = {name: engine.description[name] for name in expected}
        if found != expected:
            raise AssertionError(f"the engine has {found}, not {expected}")
        results: list[list[Result]] = []
        for batch in batches:
            before = results[-1] if results and batch.follows else []
            texts = [(r.prompt + r.ids)[: batch.follows] for r in before]
            results.append(engine.generate(batch, texts))
        return results


@contextmanager
def other_process(v2: bool = False) -> Iterator[Serve]:
    """Yields `serve`, run in a process that lives as long as this context.

    An engine leaves marks on its process: it binds threads, and it compiles transformers'
    classes, which the reference needs as they are.

    Args:
        v2: vLLM's V2 runner and asynchronous scheduling, in Triton's interpreter.
    """
    context = multiprocessing.get_context("spawn")
    with pytest.MonkeyPatch.context() as patch, ProcessPoolExecutor(1, mp_context=context) as pool:
        if v2:
            patch.setenv("PYTHONPATH", str(V2_ON_CPU), prepend=os.pathsep)
            patch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")

        def serve_there(*args: Any, **options: Any) -> list[list[Result]]:
            seconds = _START_SECONDS + _BATCH_SECONDS * len(args)
            return pool.submit(serve, *args, **options).result(seconds)

        yield serve_there


class _Offline:
    def __init__(self, model: Path, pack: Pack, **options: Any) -> None:
        # Otherwise a CPU's worker gets a process of its own, which takes longer than all else.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        from vllm.v1.engine.llm_engine import LLMEngine
        from vllm.v1.executor import Executor

        engine_options = {"block_size": 32, "skip_tokenizer_init": True, "seed": 0}
        settings = {
            "dtype": "float32",
            "max_model_len": 128,
            "max_running": 8,
            "max_batched_tokens": 128,
            "kv_cache_gib": 1 / 16,
            "vectors": 8,
            "engine_options": engine_options | options.pop("engine_options", {}),
        } | options
        self.pack = pack
        plugin = PluginConfig(
            sites=pack.sites,
            hidden_size=pack.manifest.model.hidden_size,
            readout_sites=tuple(range(pack.sites)),
            concepts=len(pack.names),
            vectors=8,
        )
        config, self.plugin = vllm_config(EngineSettings(model=model, **settings), plugin)
        self.llm = LLMEngine(config, Executor.get_class(config), log_stats=False)
        self.sinks = Sinks((pack.sites, len(pack.names), 2), pack.sites)
        self.sinks.attach(self.llm.output_processor)
        concepts = pack_concepts(pack)
        self._row_of = {c.vectors.digest: i for i, c in enumerate(concepts.values(), 1)}
        for name, row in zip(concepts, self._row_of.values(), strict=True):
            data = pack.vectors[pack.index[name]].astype("<f2").tobytes()
            self.llm.collective_rpc("vagus_put_vectors", args=(row, data))
        self.llm.collective_rpc("vagus_put_readout_vectors", args=(list(self._row_of.values()),))
        self.description = self.llm.collective_rpc("vagus_describe")[0]
        self._resolver = Resolver(small_registry(pack), 8, 100)
        self._adapters = settings.get("adapters", {})
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self.llm.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()

    def generate(self, batch: Batch, before: Sequence[list[int]] = ()) -> list[Result]:
        running: dict[str, tuple[Running, Result]] = {}
        internal: list[str] = []
        for i, (prompt, message) in enumerate(batch.requests):
            name = f"request-{next(self._numbers)}"
            ids = [*before[i], *prompt] if before else prompt
            running[name], internal_id = self._add(name, ids, message, batch)
            internal.append(internal_id)
        started = list(running.values())
        for step in itertools.count():
            for change in batch.changes:
                if change.step == step:
                    self._change(internal[change.request], *started[change.request], change)
            if not self.llm.has_unfinished_requests():
                return [result for _, result in started]
            for output in self.llm.step():
                self._take(*running[output.request_id], output.outputs[0])
        raise AssertionError

    def _add(
        self, name: str, prompt: list[int], message: steering_pb2.Program, batch: Batch
    ) -> tuple[tuple[Running, Result], str]:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        program = self._resolver.resolve(message, PromptMap(len(prompt)), "program")
        sink = Sink(EVERYWHERE, len(prompt) - 1)
        self.sinks.open(name, sink)
        request = EngineRequest(name, prompt, {}, program, EVERYWHERE)
        engine: Any = self
        parameters = SamplingParams(
            temperature=0,
            ignore_eos=True,
            max_tokens=batch.tokens,
            output_kind=RequestOutputKind.DELTA,
            extra_args=order_to_extra_args(self._order(program)),
            skip_reading_prefix_cache=not batch.cache,
        )
        lora = adapter_request(self._adapters, batch.adapter)
        internal = self.llm.add_request(name, tokens_input(prompt), parameters, lora_request=lora)
        result = Result(prompt, parts=[(0, message)])
        return (Running(engine, request, sink), result), internal

    def _order(self, program: Program) -> Order:
        digest = program.tables_digest if program else b""
        return Order(program.order_operations(self._row_of), digest, EVERYWHERE)

    def _change(self, internal: str, running: Running, result: Result, change: Change) -> None:
        """As `Running.change`, between two steps of the scheduler, which is in this process."""
        program = self._resolver.resolve(change.program, PromptMap(len(result.prompt)), "program")
        running.programs.append(program)
        running.change_ids.append(str(len(running.programs) - 1))
        scheduler = self.llm.engine_core.engine_core.scheduler
        data = encode_order(self._order(program))
        start = scheduler.vagus_change(internal, len(running.programs) - 1, data)
        if start == OVER:
            return
        assert start >= 0
        while len(result.parts) > 1 and result.parts[-1][0] >= start:
            result.parts.pop()  # nothing was processed under it
        result.parts.append((start, change.program))

    def _take(self, running: Running, result: Result, completion: Any) -> None:
        new = list(completion.token_ids)
        result.ids += new
        result.passes += [(span.start, span.tokens) for span in running.sink.spans]
        running._take(EngineOutput("", new, None, completion.finish_reason, None, 0))
        if completion.finish_reason is None:
            return
        running._balance()
        end, sink = running.processed_end, running.sink
        result.rows = {p: row for p, row in sink.rows.items() if p < end}
        result.turn = sink.turn_sum, sink.turn_tokens
        result.cached = running.ledger.cached_tokens
        receipt = receipt_message(running, self.pack.residual_norms)
        result.receipt = receipt or steering_pb2.Receipt()
        self.sinks.close(running.request.request_id)
