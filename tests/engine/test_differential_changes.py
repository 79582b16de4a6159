"""Random changes of random requests on random engines, against the slow reference.

The process that makes a change has the engine's scheduler in it, so each comes between the same
two steps in every run. VAGUS_CASES=2000 makes a long run; VAGUS_SEED chooses another.
"""

import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from support.offline import Batch, Change, other_process
from support.random_programs import operations
from support.small_pack import NAMES, small_pack
from support.tiny_check import check_changed, tiny_reference
from support.tiny_models import HIDDEN, LAYERS, VOCABULARY, write_tiny_model
from vagus.v1 import steering_pb2

pytestmark = pytest.mark.engine

SEED = int(os.environ.get("VAGUS_SEED", "1"))
CASES = int(os.environ.get("VAGUS_CASES", "100"))
REQUESTS = 5
#: Not V2 with drafts: vLLM's own kernel for them does not run in Triton's interpreter.
ENGINES = ("v1", "v1-drafts", "v2")
PACK = small_pack(sites=LAYERS, hidden=HIDDEN)
LONGEST = 224
DRAFTS = {
    "method": "ngram",
    "num_speculative_tokens": 3,
    "prompt_lookup_min": 1,
    "prompt_lookup_max": 3,
}
#: Prompts are beginnings of these: they share blocks, and end within one.
TEXTS = [random.Random(n).choices(range(3, VOCABULARY), k=70) for n in range(2)]

programs = st.lists(operations(LAYERS, NAMES, text=False), max_size=3).map(
    lambda drawn: steering_pb2.Program(operations=drawn)
)
prompts = st.builds(
    lambda text, length: text[:length], st.sampled_from(TEXTS), st.sampled_from((3, 20, 33, 64, 70))
)


@st.composite
def batches(draw: Any) -> Batch:
    """Few programs and texts, so that requests have them in common at some of their positions."""
    drawn = st.sampled_from(draw(st.lists(programs, min_size=3, max_size=3)))
    tokens = draw(st.integers(4, 40))
    changes = st.builds(Change, st.integers(0, tokens + 8), st.integers(0, REQUESTS - 1), drawn)
    return Batch(
        draw(st.lists(st.tuples(prompts, drawn), min_size=REQUESTS, max_size=REQUESTS)),
        tokens,
        changes=draw(st.lists(changes, min_size=2, max_size=8)),
        cache=draw(st.booleans()),
        follows=draw(st.sampled_from((0, 0, 64, 96))),
    )


def drawn_batches(number: int) -> list[Batch]:
    """Hypothesis draws them; the engine runs them all, one after the other."""
    found: list[Batch] = []

    def collect(batch: Batch) -> None:
        found.append(batch)

    configured = settings(
        max_examples=max(4, round(CASES / len(ENGINES) / REQUESTS)),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    seed(SEED * len(ENGINES) + number)(configured(given(batches())(collect)))()
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_changes(engine: str, tmp_path: Path) -> None:
    number = ENGINES.index(engine)
    choose = random.Random(SEED * len(ENGINES) + number).choice
    options: dict[str, Any] = {
        "installation": choose(("hook", "norm")),
        "max_batched_tokens": choose((32, 48, 128)),
        "max_model_len": LONGEST,
        "runner": 2 if engine.startswith("v2") else 1,
        "engine_options": {"num_gpu_blocks_override": choose((8, 10, 14))},
    }
    if engine.endswith("drafts"):
        options["engine_options"]["speculative_config"] = DRAFTS
    write_tiny_model("Llama", tmp_path)
    reference = tiny_reference(tmp_path, PACK)
    drawn = drawn_batches(number)
    with other_process(v2=engine.startswith("v2")) as serve:
        served = serve(tmp_path, PACK, *drawn, **options)
    sure = changed = 0
    for batch, results in zip(drawn, served, strict=True):
        for i, result in enumerate(results):
            try:
                sure += check_changed(reference, result)
            except AssertionError as error:
                raise AssertionError(f"{error}\nrequest {i} of {batch} with {options}") from error
            changed += len(result.parts) > 1
    assert sure > len(drawn), "too many gates are too close to call"
    assert changed > len(drawn), "too few requests were changed"
