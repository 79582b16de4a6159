"""Generators of seeded requests on a CPU: what was drawn can be taken back."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vagus_server.plugin.extract_worker import ExtractWorker
from vagus_server.plugin.generators import CpuGenerator, prepare_draws
from vagus_server.plugin.worker import SteeringWorker


def draw(generator: torch.Generator) -> list[float]:
    return torch.empty(3).exponential_(generator=generator).tolist()


def test_the_last_draw_is_taken_back_and_no_other() -> None:
    plain = torch.Generator().manual_seed(5)
    request = SimpleNamespace(generator=torch.Generator().manual_seed(5))
    batch = SimpleNamespace(generators={2: request.generator}, req_ids=["x", "y", "a"])
    runner = SimpleNamespace(input_batch=batch, requests={"a": request})
    first, second = draw(plain), draw(plain)

    prepare_draws(runner)
    generator = batch.generators[2]
    assert request.generator is generator
    assert isinstance(generator, CpuGenerator)
    assert draw(generator) == first
    generator.set_offset(generator.get_offset() - 4)  # as vLLM does
    prepare_draws(runner)
    assert draw(generator) == first
    prepare_draws(runner)
    assert draw(generator) == second
    generator.set_offset(generator.get_offset() - 4)
    assert draw(generator) == second
    assert batch.generators == {2: generator}


@pytest.mark.parametrize("kind", [SteeringWorker, ExtractWorker])
def test_every_worker_prepares_draws_before_it_samples(kind: type[SteeringWorker]) -> None:
    request = SimpleNamespace(generator=torch.Generator().manual_seed(5))
    batch = SimpleNamespace(generators={0: request.generator}, req_ids=["a"])
    worker: Any = object.__new__(kind)
    worker.device = torch.device("cpu")
    worker.batch = SimpleNamespace(layout=None)
    worker.model_runner = SimpleNamespace(
        input_batch=batch,
        requests={"a": request},
        sample_tokens=lambda _grammar: type(batch.generators[0]),
    )
    assert worker.sample_tokens(None) is CpuGenerator
