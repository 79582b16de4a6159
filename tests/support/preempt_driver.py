"""Taps a small model in a KV cache that holds few of its requests, and in one that holds all.

usage: preempt_driver.py MODEL OUT.npz

OUT has each engine's figures under `few_` and `all_`, and how often it preempted a request.
"""

import sys
from pathlib import Path

import numpy as np

from support.tiny_models import HIDDEN, LAYERS, VOCABULARY
from vagus_server.engine.settings import EngineSettings
from vagus_server.extract.offline import Job, OfflineEngine
from vagus_server.plugin.wire import NO_END

BLOCK, REQUESTS, PROMPT, REPLY = 32, 6, 40, 60
#: Room for two whole requests and a bit of a third, and for all.
BLOCKS = {"few": 10, "all": 64}
WRITE = {"max_tokens": REPLY, "temperature": 0.0, "ignore_eos": True}


def main() -> None:
    """Measures and saves."""
    model, out = map(Path, sys.argv[1:])
    found: dict[str, object] = {}
    for name, blocks in BLOCKS.items():
        found |= {f"{name}_{key}": value for key, value in measure(model, blocks).items()}
    np.savez(out, **found)


def measure(model: Path, blocks: int) -> dict[str, object]:
    """Means of prompts and replies while they are written, and the moments of both."""
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    options = {"block_size": BLOCK, "skip_tokenizer_init": True, "num_gpu_blocks_override": blocks}
    settings = EngineSettings(
        model=model,
        dtype="float32",
        max_model_len=128,
        max_running=REQUESTS,
        max_batched_tokens=128,
        kv_cache_gib=1 / 16,
        eager=True,
        engine_options=options,
    )
    engine = OfflineEngine(settings, LAYERS, HIDDEN, concepts=2, vectors=2, groups=16)
    preempted = count_preemptions(engine)
    rng = np.random.default_rng(0)
    engine.put_vectors(1, rng.standard_normal((2, LAYERS, HIDDEN)))
    engine.read_vectors([1, 2])
    engine.take_moments()
    jobs = [
        Job(
            rng.integers(3, VOCABULARY, PROMPT).tolist(),
            spans=((1, NO_END), (PROMPT, NO_END)),
            read=((1, NO_END),),
            sampling=WRITE,
        )
        for _ in range(REQUESTS)
    ]
    done = sorted(engine.run(jobs), key=lambda one: one.index)
    positions, moments = engine.take_moments()
    engine.close()
    cleanup_dist_env_and_memory()
    return {
        "preempted": len(preempted),
        "tokens": np.array([one.token_ids for one in done]),
        "means": np.stack([one.means for one in done]),
        "norms": np.stack([one.norms for one in done]),
        "positions": positions,
        "moments": moments,
    }


def count_preemptions(engine: OfflineEngine) -> list[str]:
    """Grows by the id of every request that the scheduler preempts."""
    scheduler = engine._llm.engine_core.engine_core.scheduler
    preempt, seen = scheduler._preempt_request, []

    def counted(request: object, *args: object, **kwargs: object) -> None:
        seen.append(request.request_id)  # type: ignore[attr-defined]
        preempt(request, *args, **kwargs)

    scheduler._preempt_request = counted
    return seen


if __name__ == "__main__":
    main()
