"""Runs an OfflineEngine over token ids and keeps all that it measured, for comparison.

usage: offline_driver.py MODEL IN.npz OUT.npz

IN holds `lengths` and the flat `ids` of the texts, and float16 `vectors` [3, sites, hidden].
"""

import sys
from pathlib import Path

import numpy as np

from vagus_kernels.layout import ADD
from vagus_server.engine.settings import EngineSettings
from vagus_server.extract.offline import Done, Job, OfflineEngine
from vagus_server.plugin.wire import NO_END, OrderOperation

#: So that texts are split over passes, and spans over their chunks.
TOKENS_A_PASS = 48
GREEDY = {"max_tokens": 6, "temperature": 0.0, "ignore_eos": True}


def main() -> None:
    """Measures and saves."""
    model, source, target = map(Path, sys.argv[1:])
    given = np.load(source)
    texts = np.split(given["ids"], np.cumsum(given["lengths"])[:-1])
    ids = [text.tolist() for text in texts]
    vectors = given["vectors"]
    settings = EngineSettings(
        model=model,
        dtype="float32",
        max_model_len=512,
        max_running=8,
        max_batched_tokens=TOKENS_A_PASS,
        kv_cache_gib=0.25,
        eager=True,
    )
    # Fewer groups than requests could use at once: some must wait for their turn.
    engine = OfflineEngine(settings, *vectors.shape[1:], concepts=3, vectors=2, groups=9)
    try:
        np.savez(target, **measure(engine, ids, vectors))
    finally:
        engine.close()


def measure(engine: OfflineEngine, ids: list[list[int]], vectors: np.ndarray) -> dict[str, object]:
    """Everything that an extraction asks of the engine."""
    spans = [((1, NO_END), (7, len(text) - 2)) for text in ids]
    jobs = [Job(text, spans=span) for text, span in zip(ids, spans, strict=True)]
    first, again = run(engine, jobs), run(engine, jobs)
    engine.put_vectors(1, vectors)
    engine.read_vectors([1, 2, 3])
    engine.take_moments()
    run(engine, [Job(text, read=((1, NO_END),)) for text in ids])
    positions, moments = engine.take_moments()
    scored = run(engine, [Job(text, sampling={"prompt_logprobs": 0}) for text in ids])
    site = vectors.shape[1] // 2
    added = (OrderOperation(ADD, 2, (site,), (5.0,), (0.0,), ((0, NO_END),)),)
    written = [
        run(engine, [Job(t, spans=((len(t), NO_END),), operations=o, sampling=GREEDY) for t in ids])
        for o in ((), added)
    ]
    return {
        "means": np.stack([done.means for done in first]),
        "again": np.stack([done.means for done in again]),
        "norms": np.stack([done.norms for done in first]),
        "counts": np.stack([done.counts for done in first]),
        "positions": positions,
        "moments": moments,
        "logprobs": np.concatenate([done.prompt_logprobs for done in scored]),
        "written": np.array([[done.token_ids for done in kind] for kind in written]),
        "written_norms": np.stack([[done.norms[0] for done in kind] for kind in written]),
        "written_counts": np.stack([[done.counts[0] for done in kind] for kind in written]),
    }


def run(engine: OfflineEngine, jobs: list[Job]) -> list[Done]:
    """All jobs, in their order."""
    return sorted(engine.run(jobs), key=lambda done: done.index)


if __name__ == "__main__":
    main()
