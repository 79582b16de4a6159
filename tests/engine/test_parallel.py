"""Several workers: every one is steered, and what each marks and reads arrives."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from support.calls import EVERYTHING, VECTOR, add, generate, rows, spec
from support.compare import compare
from support.killing import kill_of_the_engine
from support.offline import EVERYWHERE, Result
from support.reference import Reference
from support.server_process import ServerProcess
from support.small_pack import small_pack
from support.tiny_check import LAST, OTHER, PROGRAMS, PROMPT, check, tiny_reference
from support.tiny_models import HIDDEN, LAYERS, write_tiny_model
from vagus.v1 import steering_pb2
from vagus_server.concepts.registry import Registry
from vagus_server.engine.canary import run_canary
from vagus_server.engine.engine import Engine, drain
from vagus_server.engine.request import EngineRequest
from vagus_server.engine.settings import EngineSettings
from vagus_server.services.receipt import receipt_message
from vagus_server.steering.resolve import Resolver
from vagus_server.steering.scope import PromptMap

pytestmark = pytest.mark.engine

SAMPLING = {"temperature": 0.0, "max_tokens": 10, "ignore_eos": True}
#: How the model is shared out, and the site that is read: 0 is the first stage's.
CASES: dict[str, tuple[dict[str, int], int]] = {
    "tensor parallel": ({"tensor_parallel_size": 2}, 1),
    "tensor parallel, fused with the norm": ({"tensor_parallel_size": 2}, 1),
    "pipeline parallel, first stage read": ({"pipeline_parallel_size": 2}, 0),
    "pipeline parallel, last stage read": ({"pipeline_parallel_size": 2}, 2),
    "data parallel": ({"data_parallel_size": 2}, 1),
}


def behind_a_gate(operation: steering_pb2.Operation, site: int) -> steering_pb2.Operation:
    """The operation acts on rows in which a site of an earlier stage finds "calm" above 0."""
    operation.gate.CopyFrom(steering_pb2.Gate(concept="calm", site=site, at_least=0))
    return operation


#: Besides what one worker can do: what one stage must know of another.
ASKED = [
    *PROGRAMS.values(),
    steering_pb2.Program(operations=[behind_a_gate(add("sad", 0.5, (LAST,), VECTOR), site=0)]),
]


@pytest.mark.parametrize("case", CASES)
def test_tokens_readouts_and_receipts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options, readout_site = CASES[case]
    if "pipeline_parallel_size" in options:
        # On a CPU vLLM's warm-up alone makes what a later stage receives into.
        monkeypatch.setenv("VLLM_CPU_CI_ENV", "0")
    write_tiny_model("Llama", tmp_path)
    installation = "norm" if "norm" in case else "auto"
    asyncio.run(_check(tmp_path, options, readout_site, installation))


def test_stages_of_the_v2_runner(reference: Reference) -> None:
    """The V2 runner schedules ahead, also over stages of a pipeline; they live and die as one."""
    options = {"block_size": 32, "pipeline_parallel_size": 2}
    prompt = reference.tokenizer.encode("The letter lay on the kitchen table. She read it,")
    operations = [add("desperate", 0.2, (5, 25)), add("calm", -0.1, (20,), phase="generation")]
    operations.append(behind_a_gate(add("happy", 0.2, (25,)), site=5))
    asked = spec(prompt, *operations, readouts=EVERYTHING, max_tokens=8)
    with ServerProcess(
        *("--max-model-len", "128", "--max-running", "8", "--max-batched-tokens", "128"),
        *("--eager", "--engine-options", json.dumps(options)),
        v2=True,
    ) as server:
        response = generate(server.channel, asked)
        kill_of_the_engine(server, "Worker_PP1", calls=4, running=2, tokens=100)
    program = reference.program(*operations, prompt=prompt)
    assert compare(reference, program, prompt, response, EVERYTHING)
    assert len(rows(response)) == len(prompt) + 7


async def _check(
    folder: Path, options: dict[str, Any], readout_site: int, installation: str
) -> None:
    pack = small_pack(sites=LAYERS, hidden=HIDDEN, readout_site=readout_site)
    reference = tiny_reference(folder, pack)
    settings = EngineSettings(
        model=folder,
        dtype="float32",
        max_model_len=128,
        max_running=8,
        max_batched_tokens=128,
        kv_cache_gib=1 / 16,
        installation=installation,
        vectors=8,
        engine_options={"block_size": 32, "skip_tokenizer_init": True, **options},
    )
    engine = await Engine.start(settings, pack)
    try:
        await run_canary(engine)
        assert len(engine.description["installed"]) == LAYERS
        ranks = [None] if engine.ranks == 1 else list(range(engine.ranks))
        resolver = Resolver(Registry(pack, engine.concepts, engine.bank), 8, 100)
        asked = [
            (prompt, message, rank)
            for prompt in (PROMPT, OTHER)
            for message in ASKED
            for rank in ranks
        ]
        requests = [
            EngineRequest(
                f"request-{i}",
                prompt,
                dict(SAMPLING),
                resolver.resolve(message, PromptMap(len(prompt)), "program"),
                EVERYWHERE,
                rank=rank,
            )
            for i, (prompt, message, rank) in enumerate(asked)
        ]
        running = [engine.submit(request) for request in requests]
        outputs = await asyncio.gather(*(drain(r.outputs()) for r in running))
    finally:
        engine.shutdown()
    for r, (prompt, message, _), outs in zip(running, asked, outputs, strict=True):
        receipt = receipt_message(r, pack.residual_norms) or steering_pb2.Receipt()
        ids = [token for output in outs for token in output.token_ids]
        check(reference, Result(prompt, ids, r.sink.rows, receipt), message, readout_site)
