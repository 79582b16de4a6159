"""Speculative decoding and LoRA adapters beside steering."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from support.adapters import write_adapter
from support.offline import Batch, Serve, other_process
from support.small_pack import small_pack
from support.tiny_check import OTHER, PROGRAMS, PROMPT, check, tiny_reference
from support.tiny_models import HIDDEN, INTERMEDIATE, LAYERS, write_tiny_model

pytestmark = pytest.mark.engine

PACK = small_pack(sites=LAYERS, hidden=HIDDEN)
TOKENS = 60
NGRAM = {
    "method": "ngram",
    "num_speculative_tokens": 3,
    "prompt_lookup_min": 1,
    "prompt_lookup_max": 3,
}


def adapter(folder: Path, seed: int) -> dict[str, torch.Tensor]:
    return write_adapter(folder, seed, LAYERS, HIDDEN, INTERMEDIATE)


@pytest.fixture
def serve() -> Iterator[Serve]:
    # A process for each test: what vLLM imports for n-grams, no second engine starts beside.
    with other_process() as function:
        yield function


@pytest.mark.parametrize("installation", ["hook", "norm"])
def test_rejected_drafts_are_neither_read_nor_counted(
    installation: str, serve: Serve, tmp_path: Path
) -> None:
    write_tiny_model("Llama", tmp_path)
    reference = tiny_reference(tmp_path, PACK)
    asked = [(prompt, p) for prompt in (PROMPT, OTHER) for p in PROGRAMS.values()]
    batch, options = Batch(asked, TOKENS), {"installation": installation}
    (without,) = serve(tmp_path, PACK, batch, **options)
    options |= {"engine_options": {"speculative_config": NGRAM}}
    (results,) = serve(tmp_path, PACK, batch, **options)
    stood = rejected = 0
    for result, plain, (prompt, message) in zip(results, without, asked, strict=True):
        assert result.ids == plain.ids
        check(reference, result, message)
        rows = [result.rows[p] for p in range(len(prompt) - 1, len(prompt) + TOKENS - 1)]
        assert result.turn[1] == TOKENS
        assert np.allclose(result.turn[0], np.sum(rows, axis=0))
        decoding = [tokens for start, tokens in result.passes if start >= len(prompt)]
        stood += TOKENS - 1 - len(decoding)
        rejected += sum(decoding) - (TOKENS - 1)
    assert stood > 0, "no draft stood: the test tests nothing"
    assert rejected > 0, "no draft was rejected: the test tests nothing"


@pytest.mark.parametrize("installation", ["hook", "norm"])
def test_adapters_are_steered_and_read(installation: str, serve: Serve, tmp_path: Path) -> None:
    write_tiny_model("Llama", tmp_path)
    names = ("", "first", "second")
    references = {name: tiny_reference(tmp_path, PACK) for name in names}
    for seed, name in enumerate(names[1:]):
        with torch.no_grad():
            for path, change in adapter(tmp_path / name, seed).items():
                references[name].model.get_parameter(path).add_(change)
    asked = [(PROMPT, program) for program in PROGRAMS.values()]
    order = (*names, "first", "")
    options = {
        "installation": installation,
        "adapters": {name: tmp_path / name for name in names[1:]},
    }
    batches = serve(tmp_path, PACK, *(Batch(asked, adapter=name) for name in order), **options)
    for name, results in zip(order, batches, strict=True):
        for result, (_, message) in zip(results, asked, strict=True):
            check(references[name], result, message)
    assert len({tuple(results[0].ids) for results in batches}) == len(names)
