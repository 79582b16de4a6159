"""Our scheduler over vLLM's, without a model: tests say what each step has brought."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from support.tiny_models import HIDDEN, LAYERS, write_tiny_model
from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.transport import CHANGES, STEP
from vagus_server.plugin.wire import (
    News,
    Order,
    Step,
    news_from_array,
    order_from_sampling_params,
    order_to_extra_args,
)

BLOCK, CONCEPTS = 32, 4
#: What is read of a request, at a position, of a concept.
Readout = Callable[[str, int, int], float]


def scheduler(folder: Path, kv_blocks: int, max_running: int = 8, **plugin: Any) -> Any:
    """One that schedules step by step, up to 24 tokens of which 16 are one request's prompt.

    Args:
        folder: where the model's configuration is written.
        kv_blocks: of the KV cache.
        max_running: most requests in a batch.
        **plugin: further settings of `PluginConfig`.
    """
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
    from vllm.v1.structured_output import StructuredOutputManager

    from vagus_server.plugin.scheduler import SteeringScheduler

    write_tiny_model("Llama", folder)
    options = {
        "block_size": BLOCK,
        "skip_tokenizer_init": True,
        "num_gpu_blocks_override": kv_blocks,
        "long_prefill_token_threshold": 16,
    }
    settings = EngineSettings(
        model=folder,
        dtype="float32",
        max_model_len=128,
        max_running=max_running,
        max_batched_tokens=max(24, max_running),
        engine_options=options,
    )
    config, _ = vllm_config(
        settings, PluginConfig(LAYERS, HIDDEN, readout_sites=(0,), concepts=CONCEPTS, **plugin)
    )
    config.cache_config.num_gpu_blocks = kv_blocks
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=32, dtype=torch.float32)
    return SteeringScheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(kv_blocks, [], [KVCacheGroupSpec(["layer"], spec)]),
        structured_output_manager=StructuredOutputManager(config),
        block_size=BLOCK,
    )


def done(scheduler: Any, output: Any, token: int = 7) -> Any:
    """vLLM's output of a scheduled pass: every request that has come to its end gets a token."""
    from vllm.v1.outputs import ModelRunnerOutput

    starts = starts_of(output)
    ids = list(output.num_scheduled_tokens)
    ends = [starts[id] + output.num_scheduled_tokens[id] for id in ids]
    whole = [end == scheduler.requests[id].num_tokens for id, end in zip(ids, ends, strict=True)]
    return ModelRunnerOutput(
        req_ids=ids,
        req_id_to_index={id: i for i, id in enumerate(ids)},
        sampled_token_ids=[[token] if chosen else [] for chosen in whole],
        logprobs=None,
        prompt_logprobs_dict={},
        pooler_output=[],
    )


def starts_of(output: Any) -> dict[str, int]:
    """The position of each request's first row in a scheduled pass."""
    cached = output.scheduled_cached_reqs
    starts = dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
    return starts | {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}


def block_hasher() -> Any:
    """For vLLM's requests."""
    from vllm.utils.hashing import sha256
    from vllm.v1.core import kv_cache_utils

    kv_cache_utils.init_none_hash(sha256)
    return kv_cache_utils.get_request_block_hasher(BLOCK, sha256)


class BareEngine:
    """The scheduler, and of a worker what lays out the passes: slots, and what is read.

    Args:
        scheduler: see above.
        batch: the worker's.
    """

    def __init__(self, scheduler: Any, batch: Batch) -> None:
        self.scheduler = scheduler
        self.batch = batch
        self._hasher = block_hasher()

    def add(self, name: str, prompt: list[int], order: Order, max_tokens: int = 64) -> None:
        """Adds a request."""
        from vllm import SamplingParams
        from vllm.v1.request import Request

        extra = order_to_extra_args(order)
        sampling = SamplingParams(max_tokens=max_tokens, ignore_eos=True, extra_args=extra)
        request = Request(name, prompt, sampling, None, block_hasher=self._hasher)
        self.scheduler.add_request(request)

    def step(self, readout: Readout) -> tuple[list[Any], News]:
        """Schedules a pass and takes what it has brought; returns outputs and news.

        Args:
            readout: before and after steering.
        """
        output = self.scheduler.schedule()
        return self.take(output, self.run(output, readout))

    def run(self, output: Any, readout: Readout) -> Any:
        """The pass, as `SteeringWorker` runs it."""
        roster, tokens = self.batch.roster, output.num_scheduled_tokens
        for name in output.finished_req_ids:
            roster.finish(name)
        for name in output.preempted_req_ids or ():
            roster.pause(name)
        for new in output.scheduled_new_reqs:
            order = order_from_sampling_params(new.sampling_params)
            assert order is not None
            roster.add(new.req_id, order)
        for name, changes in getattr(output, CHANGES, {}).items():
            for start, order in changes:
                roster.change(name, start, order)
        starts = starts_of(output)
        ids = list(tokens)
        self.batch.begin(ids, *(np.array([of[id] for id in ids]) for of in (tokens, starts)))
        result = done(self.scheduler, output)
        layout = self.batch.layout
        if layout is not None:
            names = np.repeat(layout.ids, layout.spans[:, 2]).tolist()
            where = zip(names, layout.positions.tolist(), strict=True)
            found = [readout(*row, concept) for row in where for concept in range(CONCEPTS)]
            rows = np.repeat(np.array(found, dtype="<f4"), 2)
            spans, positions = layout.spans.tobytes(), layout.positions.tobytes()
            setattr(result, STEP, Step(layout.ids, spans, positions, rows.tobytes()))
        return result

    def take(self, output: Any, result: Any) -> tuple[list[Any], News]:
        """The scheduler takes what a pass has brought; returns outputs and news."""
        results = self.scheduler.update_from_output(output, result)
        outputs = [output for of_client in results.values() for output in of_client.outputs]
        data = outputs[0].routed_experts if outputs else None
        return outputs, News([]) if data is None else news_from_array(data)
