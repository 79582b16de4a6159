"""32 streams with 32 programs in one batch: each as if it were alone, or stock vLLM."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.calls import GENERATION, add, generate, ids, rows, spec
from support.reference import Addition, Reference

pytestmark = pytest.mark.engine

STREAMS, TOKENS = 32, 16
#: Batches of other sizes take other matrix kernels: float32 sums in another order.
TOLERANCE = 1e-3
CONCEPTS = ["calm", "desperate", "happy", "sad", "angry", "afraid", "proud", "guilty"]
OPENINGS = ["The door opened and", "On Monday she", "He counted the coins, then", "They said it"]


def program(n: int, reference: Reference) -> tuple[list[Any], list[Addition]]:
    """The n-th program, all different; every third request has none."""
    if n % 3 == 0:
        return [], []
    concept, sites = CONCEPTS[n % len(CONCEPTS)], (8 + n % 11, 20)
    strength = 0.1 + 0.01 * n
    vectors = [Addition(s, reference.residual(concept, s, strength)) for s in sites]
    return [add(concept, strength, sites)], vectors


def prompt(n: int, reference: Reference) -> list[int]:
    return list(reference.tokenizer.encode(f"{OPENINGS[n % 4]} {n}"))


def run(server: Any, reference: Reference, n: int) -> Any:
    operations, _ = program(n, reference)
    request = spec(prompt(n, reference), *operations, readouts=GENERATION, max_tokens=TOKENS)
    return generate(server.channel, request)


def test_each_stream_is_as_if_alone(server: Any, reference: Reference) -> None:
    with ThreadPoolExecutor(STREAMS) as pool:
        batch = list(pool.map(lambda n: run(server, reference, n), range(STREAMS)))
    for n in range(STREAMS):
        _, vectors = program(n, reference)
        start = prompt(n, reference)
        solo = run(server, reference, n)
        got, alone = ids(batch[n]), ids(solo)
        assert len(got) == TOKENS
        assert reference.may_differ(start, got, alone, vectors), f"stream {n}"
        same = next((i for i, (a, b) in enumerate(zip(got, alone, strict=True)) if a != b), TOKENS)
        norms = reference.run(start + alone, vectors).norms
        mine, other = rows(batch[n]), rows(solo)
        for position in range(len(start) - 1, len(start) - 1 + same):
            error = np.abs(mine[position] - other[position]).max() / norms[position]
            assert error < TOLERANCE, f"stream {n}, position {position}"


def test_unsteered_streams_equal_stock_vllm(
    server: Any, reference: Reference, model_folder: Path
) -> None:
    plain = [n for n in range(STREAMS) if n % 3 == 0]
    prompts = [prompt(n, reference) for n in plain]
    script = Path(__file__).parents[1] / "support" / "stock_vllm.py"
    run_stock = subprocess.run(
        [sys.executable, str(script), str(model_folder), str(TOKENS)],
        input=json.dumps(prompts),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    stock = json.loads(run_stock.stdout.splitlines()[-1])
    with ThreadPoolExecutor(STREAMS) as pool:
        batch = list(pool.map(lambda n: run(server, reference, n), range(STREAMS)))
    for n, start, expected in zip(plain, prompts, stock, strict=True):
        assert reference.may_differ(start, ids(batch[n]), expected), f"stream {n}"


def test_extreme_steering_beside_others_changes_none_of_them(
    server: Any, reference: Reference
) -> None:
    quiet = [prompt(n, reference) for n in range(12)]
    with ThreadPoolExecutor(STREAMS) as pool:
        alone = list(pool.map(lambda p: ids(generate(server.channel, spec(p))), quiet))
        poison = [
            pool.submit(generate, server.channel, spec(f"Poison {n}", add("angry", 2.0, (5,))))
            for n in range(4)
        ]
        beside = list(pool.map(lambda p: ids(generate(server.channel, spec(p))), quiet))
        for call in poison:
            call.result()
    for start, a, b in zip(quiet, alone, beside, strict=True):
        assert reference.may_differ(start, a, b)
