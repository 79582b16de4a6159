"""vLLM with the plugin, as the services see it: steered requests in, tokens and rows out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from vagus_server.concepts.concept import pack_concepts
from vagus_server.concepts.vectors import Vectors
from vagus_server.engine.adapters import adapter_request
from vagus_server.engine.bank import VectorBank
from vagus_server.engine.failures import EngineUnavailable
from vagus_server.engine.request import EngineOutput, EngineRequest, Times
from vagus_server.engine.running import Running
from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.engine.sink import Sink, Sinks
from vagus_server.packs.pack import Pack
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.pin import Unsupported
from vagus_server.plugin.wire import OVER, Order, encode_order, order_to_extra_args
from vagus_server.steering.program import cache_salt

#: How often, and how many seconds apart, a row that a worker still uses is tried again.
_PUT_ATTEMPTS, _PUT_SECONDS = 1000, 0.01
#: What vLLM says when a process of the engine ended while it started.
_NOT_STARTED = "Engine core initialization failed"


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
        #: Forward passes of all workers, as of the last look at their usage.
        self.passes = 0
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
            EngineUnavailable: it did not start; its process has said why.
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
            slots=max(1024, 2 * settings.max_running) + 1,
            vectors=settings.vectors,
        )
        config, plugin = vllm_config(settings, plugin)
        try:
            llm = AsyncLLM.from_vllm_config(config)
        except RuntimeError as error:
            if not str(error).startswith(_NOT_STARTED):
                raise
            raise EngineUnavailable(
                "the engine did not start; what its process printed above says why"
            ) from None
        engine = cls(llm, plugin, pack)
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

    async def generate(self, request: EngineRequest, order: Order) -> AsyncGenerator[EngineOutput]:
        """vLLM's outputs, as ours."""
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

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

    def internal_ids(self, request_id: str) -> list[str]:
        """vLLM's own ids of a request; empty while it does not know it, and when it has ended."""
        return list(self.llm.output_processor.external_req_ids.get(request_id, ()))

    async def change(self, internal_id: str, number: int, order: Order) -> int:
        """Changes a running request; see `_Carrying.vagus_change` in `plugin.scheduler`."""
        from vllm.v1.engine.exceptions import EngineDeadError

        client = self.llm.engine_core
        arguments = ("vagus_change", internal_id, number, encode_order(order))
        try:
            if self.ranks < 2:
                return int(await client.call_utility_async(*arguments))
            engine = client.reqs_in_flight.get(internal_id)
            if engine is None:
                return OVER
            return int(await client._call_utility_async(*arguments, engine=engine))
        except EngineDeadError:
            raise EngineUnavailable("the engine has died") from None

    async def usage(self) -> dict[str, int]:
        """Requests and slots that the workers hold, greatest over the ranks; notes `passes`."""
        usages = await self._rpc("vagus_usage")
        self.passes = sum(usage.pop("passes") for usage in usages)
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
