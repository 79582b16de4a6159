"""An engine without a model: every step brings each request one token, with its evidence.

What the services see is as from vLLM with the plugin: outputs that nobody takes are merged, spans
and rows reach the request's sink before its output, changes hold from the next position on, and
each operation marks every token in its scope. Nothing is computed: tokens and rows follow from
their positions.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import jinja2
import numpy as np

from support.small_pack import HIDDEN, SITES, small_registry
from vagus_server.engine.request import EngineOutput, EngineRequest
from vagus_server.engine.running import Running
from vagus_server.engine.sink import Sink, Sinks, Span
from vagus_server.packs.pack import Pack
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.programs import measured_steps
from vagus_server.plugin.wire import OVER, Order, Switch

VOCABULARY = 1024
_TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}"
_COMPILED = jinja2.Template(_TEMPLATE)


def without_vllm() -> None:
    """`Running` wants the class of one exception of vLLM's, whose import takes ten seconds."""
    if "vllm" not in sys.modules:
        module = ModuleType("vllm.v1.engine.exceptions")
        vars(module)["EngineDeadError"] = type("EngineDeadError", (Exception,), {})
        sys.modules.setdefault(module.__name__, module)


class Tokenizer:
    """A token per character."""

    is_fast = True
    chat_template = _TEMPLATE

    def get_vocab(self) -> dict[str, int]:
        return {chr(i): i for i in range(VOCABULARY)}

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        return [1] * add_special_tokens + [ord(c) % VOCABULARY for c in text]

    def __call__(self, text: str, add_special_tokens: bool, **_: Any) -> dict[str, Any]:
        spans = [(0, 0)] * add_special_tokens + [(i, i + 1) for i in range(len(text))]
        return {"input_ids": self.encode(text, add_special_tokens), "offset_mapping": spans}

    def decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(
        self, messages: list[dict[str, str]], tokenize: bool, add_generation_prompt: bool
    ) -> str:
        if any(m["role"] == "system" for m in messages[1:]):
            raise jinja2.TemplateError("a system turn that is not the first")
        text = _COMPILED.render(messages=messages)
        return text + "<assistant>" * add_generation_prompt


@dataclass
class _Request:
    """One in the engine: `processed` positions are done, `output` waits to be taken."""

    request: EngineRequest
    order: Order
    sink: Sink
    ready: asyncio.Event
    processed: int = 0
    generated: int = 0
    changed: bool = False
    output: EngineOutput | None = None

    @property
    def over(self) -> bool:
        return self.generated >= self.request.sampling["max_tokens"]

    def step(self) -> None:
        """A forward pass: the prompt, or one token; then one more is chosen."""
        start = self.processed
        end = self.processed = len(self.request.token_ids) + self.generated
        read = [p for p in range(start, end) if any(a <= p < b for a, b in self.order.read)]
        shape = self.sink_shape
        rows = np.array(read, dtype="<f4")[:, None, None, None] / 16 + np.zeros(shape, "<f4")
        self.sink.feed(Span(start, end - start, *self._evidence(start, end)), read, rows)
        self.generated += 1
        self._put(97 + end % 26, "length" if self.over else None)
        if self.over:
            self.sink.end()

    #: Of a row; set by the engine.
    sink_shape: tuple[int, ...] = ()

    def _evidence(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        operations = self.order.operations
        if not (operations or self.changed):
            return np.zeros((0, SITES), "<i4"), np.zeros(0, "<f4")
        marks = np.zeros((end - start, SITES), "<i4")
        columns = 0
        for i, operation in enumerate(operations):
            for a, b in operation.scope:
                inside = slice(max(a - start, 0), max(b - start, 0))
                marks[inside, list(operation.sites)] |= 1 << i
            if measured_steps(operation.kind, operation.envelope is not None):
                columns += len(operation.sites)
        return marks, np.zeros((end - start) * columns, "<f4")

    def _put(self, token: int, finish: str | None) -> None:
        sampling = self.request.sampling
        logprob = SimpleNamespace(logprob=-0.5)
        logprobs = [{token: logprob}] if sampling.get("logprobs") is not None else None
        prompt: list[Any] = []
        if self.generated == 1 and sampling.get("prompt_logprobs") is not None:
            prompt = [None, *({t: logprob} for t in self.request.token_ids[1:])]
        waiting = self.output or EngineOutput("", [], logprobs and [], None, None, 0)
        self.output = replace(
            waiting,
            text=waiting.text + chr(token),
            token_ids=[*waiting.token_ids, token],
            logprobs=None if logprobs is None else [*(waiting.logprobs or ()), *logprobs],
            finish_reason=finish,
            prompt_logprobs=waiting.prompt_logprobs + prompt,
        )
        self.ready.set()


class FakeEngine:
    """Stands for `vagus_server.engine.engine.Engine`.

    Args:
        pack: its concepts can be steered and are read.
        max_model_len: longest sequence.
        max_running: requests of a batch, for whoever asks; the engine itself takes all.
        step_seconds: between two steps; 0 steps as fast as the loop turns.
        rows: of the vector bank.
    """

    def __init__(
        self,
        pack: Pack,
        max_model_len: int = 256,
        max_running: int = 256,
        step_seconds: float = 0.0,
        rows: int = 64,
    ) -> None:
        without_vllm()
        self.pack = pack
        self.plugin = PluginConfig(
            *(pack.sites, HIDDEN, (pack.readout_site,), len(pack.names)),
            slots=max(1024, 2 * max_running) + 1,
            vectors=rows,
        )
        self.registry = small_registry(pack, rows=rows)
        self.bank = self.registry._bank
        self.concepts: dict[str, Any] = {}
        self.adapters: dict[str, Path] = {}
        self.description = {
            "runner": 1,
            "platform": "none",
            "compilation_mode": "none",
            "installed": ["hook"] * pack.sites,
        }
        self.sinks = Sinks((1, len(pack.names), 2), pack.sites)
        model = SimpleNamespace(
            max_model_len=max_model_len,
            get_vocab_size=lambda: VOCABULARY,
            architectures=["Fake"],
            dtype="torch.float32",
            is_diffusion=False,
        )
        scheduler = SimpleNamespace(max_num_seqs=max_running)
        structured = SimpleNamespace(backend="xgrammar", reasoning_parser="")
        config = SimpleNamespace(
            model_config=model, scheduler_config=scheduler, structured_outputs_config=structured
        )
        tokenizer = Tokenizer()
        self.llm = SimpleNamespace(vllm_config=config, get_tokenizer=lambda: tokenizer)
        self.ranks = 1
        self.healthy = True
        self._step_seconds = step_seconds
        self._requests: dict[str, _Request] = {}
        self._open: dict[str, Sink] = {}
        self._steps: asyncio.Task[None] | None = None

    def submit(self, request: EngineRequest) -> Running:
        start = len(request.token_ids) - 1 if request.monitor else None
        sink = Sink(request.read, start)
        self.sinks.open(request.request_id, sink)
        self._open[request.request_id] = sink
        return Running(self, request, sink)  # type: ignore[arg-type]

    def close(self, request: EngineRequest) -> None:
        self._open.pop(request.request_id, None)
        self.sinks.close(request.request_id)

    async def generate(self, request: EngineRequest, order: Order) -> AsyncGenerator[EngineOutput]:
        sink = self._open[request.request_id]
        one = _Request(request, order, sink, asyncio.Event())
        one.sink_shape = (1, len(self.pack.names), 2)
        self._requests[request.request_id] = one
        if self._steps is None or self._steps.done():
            self._steps = asyncio.create_task(self._run())
        try:
            while True:
                await one.ready.wait()
                one.ready.clear()
                output, one.output = one.output, None
                assert output is not None
                yield output
                if output.finish_reason is not None:
                    return
        finally:
            del self._requests[request.request_id]

    async def _run(self) -> None:
        while self._requests:
            await asyncio.sleep(self._step_seconds)
            for one in list(self._requests.values()):
                if not one.over:
                    one.step()

    def internal_ids(self, request_id: str) -> list[str]:
        return [request_id] if request_id in self._requests else []

    async def change(self, internal_id: str, number: int, order: Order) -> int:
        await asyncio.sleep(0)
        one = self._requests.get(internal_id)
        if one is None or one.over:
            return OVER
        # As the scheduler does: policies and what is read stay the request's.
        one.order, one.changed = replace_operations(one.order, order), True
        one.sink.switches.append(Switch(internal_id, one.processed, number, ()))
        return one.processed

    async def usage(self) -> dict[str, int]:
        return {"requests": len(self._requests), "slots": 0}

    def shutdown(self) -> None:
        self.healthy = False


def replace_operations(order: Order, other: Order) -> Order:
    """The order with another's program."""
    return Order(other.operations, other.digest, order.read)
