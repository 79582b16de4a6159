"""What must never be served: a model compiled without the plugin, blocks that programs share.

The CPU's own compile mode reloads no artifacts, so these run vLLM's CUDA path (piecewise
compilation, ahead-of-time artifacts) on the CPU, all with one cache folder.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.calls import GENERATION, add, generate, ids, rows, spec
from support.reference import Addition, Reference
from support.server_process import V2_ON_CPU, ServerProcess

pytestmark = pytest.mark.engine

OPTIONS = ("--max-model-len", "512", "--max-running", "8", "--max-batched-tokens", "512")
ENGINE = ("--engine-options", json.dumps({"block_size": 32}))


@pytest.fixture(scope="module")
def stock_cache(tmp_path_factory: pytest.TempPathFactory, model_folder: Path) -> dict[str, str]:
    """Environment whose compile cache was filled by stock vLLM."""
    environment = {
        "VLLM_CACHE_ROOT": str(tmp_path_factory.mktemp("vllm-cache")),
        "VAGUS_TEST_COMPILE": "1",
    }
    script = Path(__file__).parents[1] / "support" / "stock_vllm.py"
    subprocess.run(
        [sys.executable, str(script), str(model_folder), "4", "--max-model-len", "512"],
        input="[[10, 11, 12]]",
        env={
            **os.environ,
            **environment,
            "PYTHONPATH": str(V2_ON_CPU),
            "VLLM_USE_V2_MODEL_RUNNER": "1",
        },
        text=True,
        check=True,
        capture_output=True,
        timeout=900,
    )
    saved = list(Path(environment["VLLM_CACHE_ROOT"]).rglob("*/model"))
    assert saved, "stock vLLM saved no artifact: the test tests nothing"
    return environment


def test_plugin_after_stock_on_one_cache_is_steered(
    stock_cache: dict[str, str], reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("The door opened and")
    vector = reference.residual("desperate", 15, 0.3)
    norm = ("--installation", "norm")
    with ServerProcess(*OPTIONS, *ENGINE, *norm, v2=True, env=stock_cache) as server:
        response = generate(
            server.channel,
            spec(prompt, add("desperate", 0.3, (15,)), readouts=GENERATION, max_tokens=6),
        )
    additions = [Addition(15, vector)]
    assert reference.first_wrong_token(prompt, ids(response), additions) is None
    assert len(rows(response)) == 6


def test_a_stale_artifact_is_refused_by_the_canary(stock_cache: dict[str, str]) -> None:
    blind = {**stock_cache, "VAGUS_TEST_BLIND_CACHE": "1"}
    with (
        pytest.raises(RuntimeError, match=r"vagus-server: .*(did not run|receipt|Mismatch)"),
        ServerProcess(*OPTIONS, *ENGINE, v2=True, env=blind),
    ):
        pytest.fail("the server became healthy on an artifact without the operation")


def test_blocks_that_programs_share_are_refused_by_the_canary() -> None:
    """What would happen if vLLM's block hashes did not cover programs."""
    sharing = {"VAGUS_TEST_SHARED_BLOCKS": "1"}
    with (
        pytest.raises(RuntimeError, match=r"vagus-server: .*keys and values of an unsteered one"),
        ServerProcess(*OPTIONS, *ENGINE, "--eager", v2=True, env=sharing),
    ):
        pytest.fail("the server became healthy though programs share cache blocks")
