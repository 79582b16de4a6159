"""A server with n-gram drafts and a LoRA adapter, through the API, on both runners."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.adapters import write_adapter
from support.calls import EVERYTHING, add, generate, ids, rows, spec
from support.compare import check_receipt
from support.reference import Reference
from support.refusals import NO_MODEL, check, refused
from support.server_process import ServerProcess
from vagus.v1 import model_service_pb2, model_service_pb2_grpc

pytestmark = pytest.mark.engine

ADAPTER = "another-voice"
DRAFTS = {
    "method": "ngram",
    "num_speculative_tokens": 3,
    "prompt_lookup_min": 1,
    "prompt_lookup_max": 3,
}
#: Text that repeats itself, so that drafts stand.
PROMPT = "One two three. One two three. One two three. One two three. One two"
TOKENS = 24


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("adapters") / ADAPTER
    return folder, write_adapter(folder, 0, 30, 576, 1536, size=0.05)


@pytest.fixture(scope="module", params=["v1", "v2"])
def drafting(request: pytest.FixtureRequest, added: Any) -> Iterator[ServerProcess]:
    options = {"block_size": 32, "speculative_config": DRAFTS}
    with ServerProcess(
        *("--max-model-len", "256", "--max-running", "8", "--max-batched-tokens", "256"),
        *("--adapter", f"{ADAPTER}={added[0]}", "--engine-options", json.dumps(options)),
        v2=request.param == "v2",
    ) as server:
        yield server


@pytest.fixture
def references(reference: Reference, added: Any) -> Iterator[Any]:
    """The reference as it is, or with the adapter's weights added, by name of the model."""
    changed = []

    def named(name: str) -> Reference:
        if name == ADAPTER and not changed:
            changed.append(True)
            change(1)
        return reference

    def change(sign: int) -> None:
        with torch.no_grad():
            for path, weight in added[1].items():
                reference.model.get_parameter(path).add_(weight, alpha=sign)

    yield named
    if changed:
        change(-1)


@pytest.mark.parametrize("model", ["", ADAPTER])
def test_tokens_readouts_and_receipts(model: str, drafting: ServerProcess, references: Any) -> None:
    reference = references(model)
    prompt = reference.tokenizer.encode(PROMPT)
    for operations in ([], [add("desperate", 0.3, (12,))]):
        asked = spec(prompt, *operations, readouts=EVERYTHING, max_tokens=TOKENS)
        asked.model = model
        response = generate(drafting.channel, asked)
        program = reference.program(*operations, prompt=prompt)
        assert reference.first_wrong_token(prompt, ids(response), program) is None
        expected = reference.run(prompt + ids(response), program)
        assert sorted(rows(response)) == list(range(len(prompt) + TOKENS - 1))
        for position, row in rows(response).items():
            error = np.abs(row - expected.rows[position]).max() / expected.norms[position]
            assert error < 1e-4, position
        if operations:
            reference.run(prompt + ids(response)[:-1], program)
            check_receipt(program, response.finish.receipt, len(prompt) + TOKENS - 1)


def test_some_drafts_stood_and_some_did_not(drafting: ServerProcess) -> None:
    metrics = drafting.metrics()
    drafted, accepted = (
        sum(v for k, v in metrics.items() if k.startswith(f"vllm:spec_decode_num_{kind}_total"))
        for kind in ("draft_tokens", "accepted_tokens")
    )
    assert 0 < accepted < drafted


def test_adapters_are_listed_as_models(drafting: ServerProcess) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(drafting.channel)
    models = stub.ListModels(model_service_pb2.ListModelsRequest()).models
    assert [model.name for model in models] == ["smollm2-135m-instruct", ADAPTER]
    assert stub.GetModel(model_service_pb2.GetModelRequest(name=ADAPTER)).model == models[1]


def test_other_names_are_refused(drafting: ServerProcess) -> None:
    asked = spec("Hi")
    asked.model = "nobodys-voice"
    refusal = refused(lambda: generate(drafting.channel, asked))
    check(refusal, NO_MODEL, {"model": "nobodys-voice"})
    assert ADAPTER in refusal.message
