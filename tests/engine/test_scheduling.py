"""Steering under everything vLLM's scheduler does, on both runners.

V1 schedules step by step and steers after each layer; V2 schedules ahead of the running step
and steers within the norms, as on a GPU. Both servers have a small token budget (prompts are
cut in chunks) and few KV blocks (requests are preempted).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from support.calls import EVERYTHING, GENERATION, add, generate, ids, rows, spec, stream
from support.reference import Addition, Reference
from support.server_process import ServerProcess
from support.small_server import BUDGET
from support.waiting import wait_for
from vagus.v1 import model_service_pb2, model_service_pb2_grpc

pytestmark = pytest.mark.engine

STORY = "The ferry was late again, and the rain came in sideways under the roof of the pier. "
#: float32 sums in another order than Hugging Face's.
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def small_is_left_clean(small: ServerProcess) -> Iterator[None]:
    """After every test the workers hold nothing."""
    yield
    wait_for(lambda: small.usage() == {"requests": 0, "slots": 0}, "slots to be free")
    assert small.metrics()['vagus_receipts_total{outcome="failed"}'] == 0


def test_installation(small: ServerProcess) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(small.channel)
    runtime = stub.GetModel(model_service_pb2.GetModelRequest()).model.runtime
    assert runtime.model_runner == small.runner
    assert set(runtime.site_installation) == {"norm" if small.runner == 2 else "hook"}
    assert len(runtime.site_installation) == 30


def desperate(reference: Reference, strength: float = 0.3) -> tuple[Any, list[Addition]]:
    """A program and the same as vectors."""
    vector = reference.residual("desperate", 15, strength)
    return add("desperate", strength, (15,)), [Addition(15, vector)]


def check(
    reference: Reference, prompt: list[int], response: Any, additions: list[Addition]
) -> None:
    """Tokens are greedy under the additions, and all readouts that came are right."""
    generated = ids(response)
    assert reference.first_wrong_token(prompt, generated, additions) is None
    expected = reference.run(prompt + generated, additions)
    for position, row in rows(response).items():
        error = np.abs(row - expected.rows[position]).max() / expected.norms[position]
        assert error < TOLERANCE, position


def test_chunked_prefill(small: ServerProcess, reference: Reference) -> None:
    prompt = reference.tokenizer.encode(STORY * 20)[:330]
    assert len(prompt) > 5 * BUDGET
    operation, additions = desperate(reference)
    response = generate(small.channel, spec(prompt, operation, readouts=EVERYTHING, max_tokens=8))
    check(reference, prompt, response, additions)
    assert len(rows(response)) == 330 + 7
    (entry,) = response.finish.receipt.operations
    assert entry.sites[0].tokens == entry.tokens_in_scope == 337


@pytest.mark.parametrize("small", ["v1"], indirect=True, ids=["small_v1"])  # V2 has no generators
def test_a_seed_draws_the_same_whatever_the_chunks(small: ServerProcess) -> None:
    """Two tenants: the second round finds nothing in the cache."""

    def draw(i: int, tenant: str) -> list[int]:
        asked = spec(f"{i}: {STORY * 2}", temperature=1, seed=i, max_tokens=6)
        return ids(generate(small.channel, asked, tenant))

    alone = [draw(i, "alone") for i in range(6)]
    with ThreadPoolExecutor(len(alone)) as pool:
        together = list(pool.map(lambda i: draw(i, "together"), range(len(alone))))
    assert together == alone
    long = spec(STORY * 12, temperature=1, seed=7, max_tokens=6)
    assert ids(generate(small.channel, long, "a")) == ids(generate(small.channel, long, "b"))


def test_prompt_scope_ends_inside_a_chunk(small: ServerProcess, reference: Reference) -> None:
    prompt = reference.tokenizer.encode(STORY * 6)[: BUDGET + 7]
    vector = reference.residual("calm", 12, 0.3)
    response = generate(
        small.channel,
        spec(prompt, add("calm", 0.3, (12,), phase="prompt"), readouts=EVERYTHING, max_tokens=4),
    )
    check(reference, prompt, response, [Addition(12, vector, lambda p: p < len(prompt))])
    assert response.finish.receipt.operations[0].sites[0].last_position == len(prompt) - 1


def test_prefix_cache_is_shared_within_a_program_alone(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("Nobody had slept. " + STORY * 6)[:100]
    operation, additions = desperate(reference)
    first = generate(small.channel, spec(prompt, operation, readouts=GENERATION, max_tokens=6))
    again = generate(small.channel, spec(prompt, operation, readouts=GENERATION, max_tokens=6))
    assert first.finish.usage.cached_prompt_tokens == 0
    assert again.finish.usage.cached_prompt_tokens == 96
    assert ids(again) == ids(first)
    check(reference, prompt, again, additions)
    receipt = again.finish.receipt
    assert receipt.cached_tokens == 96
    assert receipt.operations[0].sites[0].tokens == len(prompt) - 96 + 5

    others = {
        "no program": (spec(prompt, max_tokens=6), "", []),
        "another strength": (
            spec(prompt, add("desperate", 0.2, (15,)), max_tokens=6),
            "",
            [Addition(15, reference.residual("desperate", 15, 0.2))],
        ),
        "another tenant": (spec(prompt, operation, max_tokens=6), "other", additions),
    }
    for name, (request, tenant, vectors) in others.items():
        response = generate(small.channel, request, tenant=tenant)
        assert response.finish.usage.cached_prompt_tokens == 0, name
        check(reference, prompt, response, vectors)


def test_steered_text_in_a_second_turn_does_not_poison(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("Two men waited. " + STORY * 3)[:60]
    operation, additions = desperate(reference, 0.4)
    first = generate(small.channel, spec(prompt, operation, max_tokens=40))
    check(reference, prompt, first, additions)
    second_turn = prompt + ids(first) + reference.tokenizer.encode(" Later that night")
    plain = generate(small.channel, spec(second_turn, readouts=GENERATION, max_tokens=6))
    assert plain.finish.usage.cached_prompt_tokens == 0
    check(reference, second_turn, plain, [])


def test_the_prompt_of_a_generation_program_is_shared_with_plain_traffic(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("Somebody whistled. " + STORY * 6)[:100]
    vector = reference.residual("desperate", 12, 0.7)
    operation = add("desperate", 0.7, (12,), phase="generation")

    def ask(tokens: list[int], *operations: Any) -> Any:
        asked = spec(tokens, *operations, readouts=GENERATION, max_tokens=40)
        return generate(small.channel, asked)

    def after(length: int) -> list[Addition]:
        return [Addition(12, vector, lambda p: p >= length)]

    plain = ask(prompt)
    steered = ask(prompt, operation)
    assert steered.finish.usage.cached_prompt_tokens == 96
    assert ids(steered)[:28] != ids(plain)[:28], "equal text would share blocks"
    check(reference, prompt, steered, after(len(prompt)))
    again = ask(prompt, operation)
    assert again.finish.usage.cached_prompt_tokens == 96
    assert ids(again) == ids(steered)

    # What was generated is now the prompt's: this program leaves it alone there, so blocks that
    # were steered while they were generated must not come back.
    second_turn = prompt + ids(steered) + reference.tokenizer.encode(" Later that night")
    next_turn = ask(second_turn, operation)
    assert next_turn.finish.usage.cached_prompt_tokens == 96
    check(reference, second_turn, next_turn, after(len(second_turn)))

    # Plain generated text is the same in any turn.
    plain_turn = prompt + ids(plain) + reference.tokenizer.encode(" Later that night")
    assert ask(plain_turn, operation).finish.usage.cached_prompt_tokens == 128


def test_a_program_for_all_tokens_shares_its_turns(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("A gull stood there. " + STORY * 6)[:100]
    operation, additions = desperate(reference)
    first = generate(small.channel, spec(prompt, operation, max_tokens=40))
    second_turn = prompt + ids(first) + reference.tokenizer.encode(" Later that night")
    second = generate(
        small.channel, spec(second_turn, operation, readouts=GENERATION, max_tokens=6)
    )
    assert second.finish.usage.cached_prompt_tokens == 128
    check(reference, second_turn, second, additions)


def test_reading_the_prompt_does_not_read_the_cache(
    small: ServerProcess, reference: Reference
) -> None:
    prompt = reference.tokenizer.encode("A third ferry passed. " + STORY * 4)[:70]
    generate(small.channel, spec(prompt, max_tokens=2))
    response = generate(small.channel, spec(prompt, readouts=EVERYTHING, max_tokens=2))
    assert response.finish.usage.cached_prompt_tokens == 0
    assert sorted(rows(response)) == list(range(len(prompt) + 1))
    check(reference, prompt, response, [])


def test_preemption(small: ServerProcess, reference: Reference) -> None:
    operation, additions = desperate(reference)
    # Three blocks each, of 15: all five run, and all need a fourth while they generate.
    prompts = [
        reference.tokenizer.encode(f"Passenger {n} sat down. " + STORY * 8)[:90] for n in range(5)
    ]
    before = _preemptions(small)
    with ThreadPoolExecutor(len(prompts)) as pool:
        responses = list(
            pool.map(
                lambda p: generate(
                    small.channel, spec(p, operation, readouts=GENERATION, max_tokens=20)
                ),
                prompts,
            )
        )
    assert _preemptions(small) > before, "nothing was preempted: the test tests nothing"
    for prompt, response in zip(prompts, responses, strict=True):
        check(reference, prompt, response, additions)
        assert len(rows(response)) == 20
        assert response.finish.receipt.operations[0].sites[0].tokens == 109


def _preemptions(server: ServerProcess) -> float:
    return sum(v for k, v in server.metrics().items() if k.startswith("vllm:num_preemptions"))


def test_cancelled_streams_leave_nothing(small: ServerProcess) -> None:
    count = 500 if small.runner == 1 else 20

    def cancel(n: int) -> None:
        call = stream(
            small.channel,
            spec(f"Cancelled {n}", add("calm", 0.001 * (n % 50 + 1)), max_tokens=200),
        )
        next(iter(call))
        call.cancel()
        with pytest.raises(grpc.RpcError):
            list(call)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(cancel, range(count)))
    wait_for(lambda: small.usage() == {"requests": 0, "slots": 0}, "slots to be free")
    metrics = small.metrics()
    assert metrics["vagus_requests_running"] == metrics["vagus_requests_waiting"] == 0
    assert metrics["vagus_program_slots_used"] == 0
    assert metrics['vagus_requests_total{code="CANCELLED",method="StreamGenerate"}'] >= count
