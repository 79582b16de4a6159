"""vLLM with the plugin, as the services see it: steered requests in, tokens and rows out."""

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.packs.pack import Pack
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.pin import Unsupported
from vagus_server.plugin.wire import NO_END, Order, Range, order_to_extra_args
from vagus_server.steering.program import Program, cache_salt
from vagus_server.steering.receipt import Ledger, Mismatch


class EngineUnavailable(RuntimeError):
    """The engine has died or was shut down."""


class ReceiptMismatch(RuntimeError):
    """The device did not do what the request asked."""

    def __init__(self, mismatch: Mismatch) -> None:
        super().__init__(str(mismatch))
        self.mismatch = mismatch


@dataclass(frozen=True)
class EngineRequest:
    """One request, fully resolved.

    Args:
        request_id: unique among running requests.
        token_ids: the prompt.
        sampling: keyword arguments of vLLM's SamplingParams.
        program: how it is steered.
        read: positions whose rows are returned.
        tenant: separates the prefix cache.
        monitor: accumulate the turn's mean readout.
    """

    request_id: str
    token_ids: list[int]
    sampling: dict[str, Any]
    program: Program = field(default_factory=Program)
    read: tuple[Range, ...] = ()
    tenant: str = ""
    monitor: bool = True


@dataclass(frozen=True)
class EngineOutput:
    """What arose since the last output. finish_reason is set on the last one."""

    text: str
    token_ids: list[int]
    logprobs: list[Any] | None
    finish_reason: str | None
    stop_reason: int | str | None
    cached_tokens: int
    #: One entry per prompt token, as vLLM gives them; empty unless they were asked for.
    prompt_logprobs: list[Any] = field(default_factory=list)


class Running:
    """A running request: iterate `outputs`; rows, turn and ledger fill up alongside."""

    def __init__(self, engine: "Engine", request: EngineRequest, sink: Sink) -> None:
        self.request = request
        self.sink = sink
        self.ledger = Ledger(request.program, engine.plugin.sites)
        self.generated = 0
        #: Whether the receipt balanced; None until the request has ended.
        self.balanced: bool | None = None
        self._engine = engine

    async def outputs(self) -> AsyncGenerator[EngineOutput]:
        """Yields outputs as they arise. Closing the iterator aborts the request.

        Raises:
            ReceiptMismatch: before the last output is given out, when the device's marks
                differ from the program.
            EngineUnavailable: the engine has died.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            async for output in self._engine.raw_outputs(self.request):
                self._take(output)
                if output.finish_reason is not None:
                    self._balance()
                yield output
        except EngineDeadError:
            raise EngineUnavailable("the engine has died") from None

    def _take(self, output: EngineOutput) -> None:
        self.generated += len(output.token_ids)
        spans, self.sink.spans = self.sink.spans, []
        for span in spans:
            self.ledger.add(*span)

    @property
    def processed_end(self) -> int:
        """One past the last position that was processed: the last token never is."""
        return len(self.request.token_ids) + max(self.generated, 1) - 1

    def _balance(self) -> None:
        mismatch = self.ledger.check(self.processed_end)
        self.balanced = mismatch is None
        if mismatch is not None:
            raise ReceiptMismatch(mismatch)

    def row(self, position: int) -> np.ndarray | None:
        """Takes the row of a position, float32 [readout sites, concepts, 2]."""
        return self.sink.rows.pop(position, None)


class Engine:
    """Owns vLLM's AsyncLLM and the device's vector bank."""

    def __init__(self, llm: Any, plugin: PluginConfig, pack: Pack) -> None:
        self.llm = llm
        self.plugin = plugin
        self.pack = pack
        #: Index of each concept in the device's vector bank; 0 is "nothing".
        self.vector_of = {name: i + 1 for i, name in enumerate(pack.names)}
        self.description: dict[str, Any] = {}
        self.sinks = Sinks((len(plugin.readout_sites), plugin.concepts, 2), plugin.sites)

    @classmethod
    async def start(cls, settings: EngineSettings, pack: Pack) -> "Engine":
        """Starts vLLM, checks what was installed there and uploads the pack.

        Raises:
            Unsupported: the engine cannot be steered truthfully.
        """
        from vllm.v1.engine.async_llm import AsyncLLM

        if len(pack.names) >= settings.vectors:
            raise Unsupported(
                f"the pack has {len(pack.names)} concepts; the vector bank has room for "
                f"{settings.vectors - 1}"
            )
        plugin = PluginConfig(
            sites=pack.sites,
            hidden_size=pack.manifest.model.hidden_size,
            readout_sites=(pack.readout_site,),
            concepts=len(pack.names),
            slots=max(1024, settings.max_running) + 1,
            vectors=settings.vectors,
        )
        config, plugin = vllm_config(settings, plugin)
        engine = cls(AsyncLLM.from_vllm_config(config), plugin, pack)
        try:
            await engine._prepare()
        except BaseException:
            engine.shutdown()
            raise
        return engine

    async def _prepare(self) -> None:
        self.sinks.attach(self.llm.output_processor)
        for described in await self._rpc("vagus_describe"):
            if described["fingerprint"] != self.plugin.fingerprint():
                raise Unsupported("a worker runs with other settings than the server")
            self.description = described
        for name, index in self.vector_of.items():
            vectors = self.pack.vectors[self.pack.index[name]]
            await self._rpc("vagus_put_vectors", index, vectors.astype("<f2").tobytes())
        await self._rpc("vagus_put_readout_vectors", list(self.vector_of.values()))

    async def _rpc(self, method: str, *args: Any) -> list[Any]:
        results: list[Any] = await self.llm.collective_rpc(method, args=args)
        return results

    def submit(self, request: EngineRequest) -> Running:
        """Opens a request; nothing runs until its outputs are iterated. Call `close` after."""
        turn_start = len(request.token_ids) - 1 if request.monitor else None
        sink = Sink(request.read, turn_start)
        self.sinks.open(request.request_id, sink)
        return Running(self, request, sink)

    def close(self, request: EngineRequest) -> None:
        """Forgets a request. Its iterator must be closed or exhausted."""
        self.sinks.close(request.request_id)

    async def raw_outputs(self, request: EngineRequest) -> AsyncGenerator[EngineOutput]:
        """vLLM's outputs, as ours."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        prompt_tokens = len(request.token_ids)
        turn = ((prompt_tokens - 1, NO_END),) if request.monitor else ()
        order = Order(
            operations=request.program.order_operations(),
            digest=request.program.tables_digest if request.program else b"",
            read=(*request.read, *turn),
        )
        reads_prompt = any(start < prompt_tokens - 1 for start, _ in request.read)
        parameters = SamplingParams(
            **request.sampling,
            output_kind=RequestOutputKind.DELTA,
            extra_args=order_to_extra_args(order),
            # Cached prompt tokens are not computed, so they could not be read.
            skip_reading_prefix_cache=reads_prompt,
        )
        prompt = tokens_input(request.token_ids, cache_salt=cache_salt(request.tenant))
        async for output in self.llm.generate(prompt, parameters, request.request_id):
            completion = output.outputs[0]
            yield EngineOutput(
                text=completion.text,
                token_ids=list(completion.token_ids),
                logprobs=completion.logprobs,
                finish_reason=completion.finish_reason,
                stop_reason=completion.stop_reason,
                cached_tokens=output.num_cached_tokens or 0,
                prompt_logprobs=list(output.prompt_logprobs or ()),
            )

    async def usage(self) -> dict[str, int]:
        """Requests and slots that the workers hold, greatest over the ranks."""
        usages = await self._rpc("vagus_usage")
        return {key: max(usage[key] for usage in usages) for key in usages[0]}

    @property
    def healthy(self) -> bool:
        """Whether vLLM still runs."""
        return self.llm is not None and not self.llm.errored

    def shutdown(self) -> None:
        """Stops vLLM and its processes; a second call does nothing."""
        if self.llm is not None:
            self.llm.shutdown()
            # vLLM's destructor fails noisily if it runs while the interpreter ends.
            self.llm = None


async def drain(outputs: AsyncIterator[EngineOutput]) -> list[EngineOutput]:
    """All outputs of a request."""
    return [output async for output in outputs]
