"""Servers with a small token budget (prompts are cut in chunks) and few KV blocks.

V1 schedules step by step and steers after each layer; V2 schedules ahead of the running step and
steers within the norms, as on a GPU.
"""

import json

from support.server_process import ServerProcess

BLOCK = 32
BUDGET = 64
_OPTIONS = {"block_size": BLOCK, "num_gpu_blocks_override": 16}


def small_server(runner: str) -> ServerProcess:
    """A server on vLLM's model runner "v1" or "v2"."""
    return ServerProcess(
        *("--max-model-len", "480", "--max-running", "16", "--max-dose", "2"),
        *("--max-batched-tokens", str(BUDGET), "--engine-options", json.dumps(_OPTIONS)),
        *("--installation", "norm" if runner == "v2" else "hook"),
        v2=runner == "v2",
    )
