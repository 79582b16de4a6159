"""vLLM with the plugin, as the services see it: steered requests in, tokens and rows out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vagus_server.concepts.concept import pack_concepts
from vagus_server.concepts.vectors import Vectors
from vagus_server.engine.adapters import adapter_request
from vagus_server.engine.bank import VectorBank
from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.packs.pack import Pack
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.pin import Unsupported
from vagus_server.plugin.wire import (
    NO_END,
    Order,
    OrderOperation,
    Range,
    order_to_extra_args,
)
from vagus_server.steering.program import Program, cache_salt
from vagus_server.steering.receipt import Ledger, Mismatch

#: How often, and how many seconds apart, a row that a worker still uses is tried again.
_PUT_ATTEMPTS, _PUT_SECONDS = 1000, 0.01


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
        adapter: name of a LoRA adapter; empty for none.
        rank: of the data-parallel engines; None leaves the choice to vLLM.
    """

    request_id: str
    token_ids: list[int]
    sampling: dict[str, Any]
    program: Program = field(default_factory=Program)
    read: tuple[Range, ...] = ()
    tenant: str = ""
    monitor: bool = True
    adapter: str = ""
    rank: int | None = None

    @property
    def reads_prompt(self) -> bool:
        """Whether prompt tokens are read, which cached ones cannot be: they are not computed."""
        return any(start < len(self.token_ids) - 1 for start, _ in self.read)


class Times(NamedTuple):
    """When the engine had a request, in seconds of the machine's monotonic clock."""

    queued: float
    #: Its first forward pass, or the first after the last preemption.
    scheduled: float
    first_token: float
    last_token: float


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
    times: Times | None = None


class Running:
    """A running request: iterate `outputs`; rows, turn and ledger fill up alongside."""

    def __init__(self, engine: "Engine", request: EngineRequest, sink: Sink) -> None:
        self.request = request
        self.sink = sink
        self.ledger = Ledger(request.program, engine.plugin.sites)
        self.generated = 0
        #: Prompt tokens from the prefix cache; None where the cache was not asked.
        self.cached_tokens: int | None = None
        #: Whether the receipt balanced; None until the request has ended.
        self.balanced: bool | None = None
        #: vLLM's; None until the request has ended there.
        self.finish_reason: str | None = None
        self.times: Times | None = None
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
            # Closed before the request is forgotten: the engine then hears of an abort before
            # it hears of whatever takes the request's place.
            async with aclosing(self._engine.raw_outputs(self.request)) as outputs:
                async for output in outputs:
                    self._take(output)
                    if output.finish_reason is not None:
                        self._balance()
                    yield output
        except EngineDeadError:
            raise EngineUnavailable("the engine has died") from None

    def _take(self, output: EngineOutput) -> None:
        self.generated += len(output.token_ids)
        self.finish_reason = output.finish_reason
        self.times = output.times
        if not self.request.reads_prompt:
            self.cached_tokens = output.cached_tokens
        spans, self.sink.spans = self.sink.spans, []
        for span in spans:
            self.ledger.add(*span)
        self.sink.settle(self.processed_end)

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
        self.concepts = pack_concepts(pack)
        self.bank = VectorBank(plugin.vectors, self._put_vectors)
        #: Folders of the LoRA adapters, by name.
        self.adapters: dict[str, Path] = {}
        self.description: dict[str, Any] = {}
        self.sinks = Sinks((len(plugin.readout_sites), plugin.concepts, 2), plugin.sites)

    @classmethod
    async def start(
        cls, settings: EngineSettings, pack: Pack, registered: Iterable[Vectors] = ()
    ) -> "Engine":
        """Starts vLLM, checks what was installed there and fills the vector bank.

        This is the one place where a worker gets its vectors: vLLM replaces none while it
        runs, it ends instead.

        Args:
            settings: of the engine.
            pack: its concepts are read, and can be steered.
            registered: further vectors to hold, once for each time that they are given.

        Raises:
            Unsupported: the engine cannot be steered truthfully.
        """
        from vllm.v1.engine.async_llm import AsyncLLM

        registered = list(registered)
        contents = [concept.vectors for concept in pack_concepts(pack).values()] + registered
        distinct = len({vectors.digest for vectors in contents})
        if distinct >= settings.vectors:
            raise Unsupported(
                f"the pack and the state have {distinct} concepts; the vector bank has room for "
                f"{settings.vectors - 1}: raise --vectors"
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
        engine.adapters = settings.adapters
        try:
            await engine._prepare(registered)
        except BaseException:
            engine.shutdown()
            raise
        return engine

    async def _prepare(self, registered: Iterable[Vectors]) -> None:
        self.sinks.attach(self.llm.output_processor)
        described = await self._rpc("vagus_describe")
        if any(d["fingerprint"] != self.plugin.fingerprint() for d in described):
            raise Unsupported("a worker runs with other settings than the server")
        by_site: dict[int, str] = {}
        for worker in described:
            by_site |= dict(zip(worker["sites_here"], worker["installed"], strict=True))
        if sorted(by_site) != list(range(self.plugin.sites)):
            raise Unsupported(f"the operation is installed at sites {sorted(by_site)} alone")
        installed = [by_site[site] for site in range(self.plugin.sites)]
        self.description = described[0] | {"installed": installed}
        for name in self.adapters:
            await self.llm.add_lora(adapter_request(self.adapters, name))
        rows = [await self.bank.acquire(concept.vectors) for concept in self.concepts.values()]
        await self._rpc("vagus_put_readout_vectors", rows)
        for vectors in registered:
            await self.bank.acquire(vectors)

    async def _put_vectors(self, row: int, data: bytes) -> None:
        from vllm.v1.engine.exceptions import EngineDeadError

        for _ in range(_PUT_ATTEMPTS):
            try:
                if all(await self._rpc("vagus_put_vectors", row, data)):
                    return
            except EngineDeadError:
                raise EngineUnavailable("the engine has died") from None
            # A request that is over here can still be in a worker, which then refuses.
            await asyncio.sleep(_PUT_SECONDS)
        raise RuntimeError(f"row {row} of the vector bank never came free on the workers")

    async def _rpc(self, method: str, *args: Any) -> list[Any]:
        """Calls a method of every worker, of all data-parallel engines; returns all results."""
        client = self.llm.engine_core
        engines = getattr(client, "core_engines", ())
        if len(engines) < 2:
            results: list[Any] = await self.llm.collective_rpc(method, args=args)
            return results
        # collective_rpc reaches all engines as well, but returns the first one's results.
        calls = [
            client._call_utility_async("collective_rpc", method, None, args, None, engine=engine)
            for engine in engines
        ]
        return [result for results in await asyncio.gather(*calls) for result in results]

    @property
    def ranks(self) -> int:
        """Number of data-parallel engines."""
        return int(self.llm.vllm_config.parallel_config.data_parallel_size)

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
        """vLLM's outputs, as ours.

        Raises:
            BankFull: there is no room for the request's vectors; it has not been started.
        """
        async with self.bank.holding(request.program.contents.values()) as row_of:
            operations = request.program.order_operations(row_of)
            async with aclosing(self._generate(request, operations)) as outputs:
                async for output in outputs:
                    yield output

    async def _generate(
        self, request: EngineRequest, operations: tuple[OrderOperation, ...]
    ) -> AsyncGenerator[EngineOutput]:
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        prompt_tokens = len(request.token_ids)
        turn = ((prompt_tokens - 1, NO_END),) if request.monitor else ()
        order = Order(
            operations=operations,
            digest=request.program.tables_digest if request.program else b"",
            read=(*request.read, *turn),
        )
        parameters = SamplingParams(
            **request.sampling,
            output_kind=RequestOutputKind.DELTA,
            extra_args=order_to_extra_args(order),
            skip_reading_prefix_cache=request.reads_prompt,
        )
        prompt = tokens_input(request.token_ids, cache_salt=cache_salt(request.tenant))
        generation = self.llm.generate(
            prompt,
            parameters,
            request.request_id,
            lora_request=adapter_request(self.adapters, request.adapter),
            data_parallel_rank=request.rank,
        )
        async with aclosing(generation) as outputs:
            async for output in outputs:
                completion = output.outputs[0]
                yield EngineOutput(
                    text=completion.text,
                    token_ids=list(completion.token_ids),
                    logprobs=completion.logprobs,
                    finish_reason=completion.finish_reason,
                    stop_reason=completion.stop_reason,
                    cached_tokens=output.num_cached_tokens or 0,
                    prompt_logprobs=list(output.prompt_logprobs or ()),
                    times=_times(output.metrics),
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


def _times(stats: Any) -> Times | None:
    """Of vLLM's statistics of a request; None where vLLM keeps none."""
    if stats is None:
        return None
    return Times(stats.queued_ts, stats.scheduled_ts, stats.first_token_ts, stats.last_token_ts)


async def drain(outputs: AsyncIterator[EngineOutput]) -> list[EngineOutput]:
    """All outputs of a request."""
    return [output async for output in outputs]
