"""vLLM's scheduler with ours on top: what a request that was preempted in its prompt computes.

No model runs: whatever is scheduled is said to be done, and every token is the same.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from support.tiny_models import HIDDEN, LAYERS, write_tiny_model
from vagus_kernels.layout import ADD
from vagus_server.engine.settings import EngineSettings, vllm_config
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import NO_END, Order, OrderOperation, encode_order
from vagus_server.plugin.wire import order_to_extra_args as extra_args

BLOCK = 32
OTHER, TEXT = list(range(200, 229)), list(range(80))


def order(site: int) -> Order:
    operation = OrderOperation(ADD, 1, (site,), (1.0,), (0.0,), ((0, NO_END),))
    return Order((operation,), bytes([site]) * 32)


def scheduler(folder: Path, kv_blocks: int) -> Any:
    """Few blocks, so that one is missing when the request before them needs its second."""
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
        max_running=8,
        max_batched_tokens=24,
        engine_options=options,
    )
    plugin = PluginConfig(LAYERS, HIDDEN, readout_sites=(0,), concepts=4)
    config, _ = vllm_config(settings, plugin)
    config.cache_config.num_gpu_blocks = kv_blocks
    spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=32, dtype=torch.float32)
    return SteeringScheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(kv_blocks, [], [KVCacheGroupSpec(["layer"], spec)]),
        structured_output_manager=StructuredOutputManager(config),
        block_size=BLOCK,
    )


def run(scheduler: Any, orders: list[Order], changes: dict[int, Order]) -> list[tuple[int, int]]:
    """Start and tokens of each pass of the last request, which may be changed before a step."""
    from vllm import SamplingParams
    from vllm.utils.hashing import sha256
    from vllm.v1.core import kv_cache_utils
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request

    kv_cache_utils.init_none_hash(sha256)
    hasher = kv_cache_utils.get_request_block_hasher(BLOCK, sha256)
    for name, prompt, asked in zip("abc", (OTHER, TEXT, TEXT), orders, strict=True):
        sampling = SamplingParams(max_tokens=12, ignore_eos=True, extra_args=extra_args(asked))
        scheduler.add_request(Request(name, prompt, sampling, None, block_hasher=hasher))
    passes, step = [], 0
    while scheduler.has_unfinished_requests():
        if step in changes:
            assert scheduler.vagus_change("c", 1, encode_order(changes[step])) == 0
        output, step = scheduler.schedule(), step + 1
        cached, tokens = output.scheduled_cached_reqs, output.num_scheduled_tokens
        starts = dict(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        starts |= {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}
        if "c" in tokens:
            passes.append((starts["c"], tokens["c"]))
        ids = list(tokens)
        whole = [starts[id] + tokens[id] == scheduler.requests[id].num_tokens for id in ids]
        done = ModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={id: i for i, id in enumerate(ids)},
            sampled_token_ids=[[7] if chosen else [] for chosen in whole],
            logprobs=None,
            prompt_logprobs_dict={},
            pooler_output=[],
        )
        scheduler.update_from_output(output, done)
    return passes


@pytest.mark.parametrize("changed", [False, True])
def test_a_preempted_prompt_is_computed_anew(changed: bool, tmp_path: Path) -> None:
    """Else it went on behind a gap in its marks, with blocks that another request computed.

    Changed, those are of a program that it did not have when it computed them itself.
    """
    last = order(2) if changed else order(0)
    orders = [order(0), order(2) if changed else order(0), order(0)]
    passes = run(scheduler(tmp_path, 7 if changed else 6), orders, {8: last} if changed else {})
    starts = [start for start, _ in passes]
    again = next(i for i in range(1, len(starts)) if starts[i] != sum(passes[i - 1]))
    assert 0 < sum(passes[again - 1]) < len(TEXT), "it was not preempted in its prompt"
    assert starts[again] == 0
    assert starts[again + 1 :] == [sum(p) for p in passes[again:-1]], "each token once"
