"""Servers with a small token budget (prompts are cut in chunks), few KV blocks, a small bank.

V1 schedules step by step and steers after each layer; V2 schedules ahead of the running step and
steers within the norms, as on a GPU.
"""

import json
from pathlib import Path

import numpy as np

from support.app_thread import PACK
from support.server_process import ServerProcess
from vagus_server.packs.pack import Pack

BLOCK = 32
BUDGET = 64
#: Rows of the vector bank beside the pack's.
SPARE = 2
_PACK = Pack.load(PACK)
PACK_NAMES = _PACK.names
_OPTIONS = {"block_size": BLOCK, "num_gpu_blocks_override": 16}


def small_server(runner: str) -> ServerProcess:
    """A server on vLLM's model runner "v1" or "v2"."""
    return ServerProcess(
        *("--max-model-len", "480", "--max-running", "16", "--max-dose", "2"),
        *("--max-batched-tokens", str(BUDGET), "--engine-options", json.dumps(_OPTIONS)),
        *("--vectors", str(len(PACK_NAMES) + SPARE)),
        *("--policies", str(Path(__file__).with_name("policies.yaml"))),
        *("--installation", "norm" if runner == "v2" else "hook"),
        v2=runner == "v2",
    )


def pack_rows(name: str) -> np.ndarray:
    """A concept of the pack, float16 [sites, hidden]."""
    return _PACK.vectors[_PACK.index[name]].astype(np.float16)
