"""Compares extraction with plain prefill of the same texts: `python bench/extract/run.py --help`.

Two processes hold an engine each, stock vLLM and Vagus's extraction, with the same settings.
They take turns on the same texts, first the one and then the other, so that what else the
machine does falls on both. What is printed is the ratio of tokens per second, of the clock and of
the processor's time (which says more where others use the machine), and the peak memory of the
extraction after each round.
"""

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Run = Callable[[list[list[int]]], None]
#: Longest text, and the token budget of a pass, on both sides.
LENGTH, BUDGET = 1024, 2048


def stock(model: Path, dtype: str, kv_cache_gib: float) -> Run:
    """Plain vLLM: prefill, one token."""
    from vllm import LLM, SamplingParams
    from vllm.inputs.engine import tokens_input

    llm = LLM(
        model=str(model),
        dtype=dtype,
        max_model_len=LENGTH,
        max_num_batched_tokens=BUDGET,
        kv_cache_memory_bytes=int(kv_cache_gib * 2**30),
        enable_prefix_caching=False,
        async_scheduling=False,
    )
    sampling = SamplingParams(max_tokens=1, temperature=0.0, detokenize=False)

    def run(texts: list[list[int]]) -> None:
        llm.generate([tokens_input(ids) for ids in texts], sampling, use_tqdm=False)

    return run


def vagus(model: Path, dtype: str, kv_cache_gib: float) -> Run:
    """Extraction: the same, with a mean at every site of every text."""
    from vagus_server.engine.settings import EngineSettings
    from vagus_server.extract.offline import Job, OfflineEngine, model_shape
    from vagus_server.plugin.wire import NO_END

    settings = EngineSettings(
        model=model,
        dtype=dtype,
        max_model_len=LENGTH,
        max_batched_tokens=BUDGET,
        kv_cache_gib=kv_cache_gib,
    )
    engine = OfflineEngine(settings, *model_shape(model), concepts=171)

    def run(texts: list[list[int]]) -> None:
        for _ in engine.run(Job(ids, spans=((50, NO_END),)) for ids in texts):
            pass

    return run


def serve(pipe: Connection, make: Callable[..., Run], arguments: tuple[Any, ...]) -> None:
    """Answers each list of texts with seconds, processor seconds and the peak memory in MiB."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    run = make(*arguments)
    pipe.send("ready")
    while (texts := pipe.recv()) is not None:
        began, busy = time.perf_counter(), time.process_time()
        run(texts)
        seconds, busy = time.perf_counter() - began, time.process_time() - busy
        pipe.send((seconds, busy, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))


def rounded(rates: list[float]) -> list[int]:
    """Whole numbers."""
    return [round(rate) for rate in rates]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over pairs."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def main() -> None:
    """Measures and prints."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, help="folder; default: the bundled model")
    parser.add_argument("--texts", type=int, default=128, help="stories per round")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--kv-cache-gib", type=float, default=1.0)
    arguments = parser.parse_args()
    from transformers import AutoTokenizer

    from vagus_server.models.bundled import ensure_bundled_model
    from vagus_server.packs.corpus import load_corpus

    model = arguments.model or ensure_bundled_model()
    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    stories = [tokenizer(story.text)["input_ids"] for story in load_corpus().stories]
    rounds = [stories[i * arguments.texts :][: arguments.texts] for i in range(arguments.pairs + 1)]
    if len(rounds[-1]) < arguments.texts:
        parser.error(f"the corpus has {len(stories)} stories")
    context = multiprocessing.get_context("spawn")
    pipes = []
    for make in (stock, vagus):
        ours, theirs = context.Pipe()
        given = (theirs, make, (model, arguments.dtype, arguments.kv_cache_gib))
        context.Process(target=serve, args=given, daemon=False).start()
        ours.recv()
        pipes.append(ours)
    rates: list[list[float]] = [[], []]
    work: list[list[float]] = [[], []]
    memory = []
    for number, texts in enumerate(rounds):
        tokens = sum(map(len, texts))
        for side in (0, 1) if number % 2 else (1, 0):
            pipes[side].send(texts)
            seconds, busy, peak = pipes[side].recv()
            rates[side].append(tokens / seconds)
            work[side].append(tokens / busy)
            if side == 1:
                memory.append(round(peak))
    for pipe in pipes:
        pipe.send(None)
    # The first round compiles.
    stock_rates, vagus_rates, stock_work, vagus_work = (x[1:] for x in (*rates, *work))
    result = {
        "texts per round": arguments.texts,
        "stock tokens/s": rounded(stock_rates),
        "vagus tokens/s": rounded(vagus_rates),
        "ratio, median of pairs": ratio(vagus_rates, stock_rates),
        "stock tokens/s of processor time": rounded(stock_work),
        "vagus tokens/s of processor time": rounded(vagus_work),
        "ratio of processor time, median of pairs": ratio(vagus_work, stock_work),
        "peak memory, MiB, after each round": memory,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
