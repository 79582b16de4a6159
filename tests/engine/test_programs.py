"""Every operation, scope, gate and envelope on the real engine, against the slow reference."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.calls import ABSOLUTE, EVERYTHING, RESIDUAL, VECTOR, generate, spec
from support.compare import compare
from support.reference import Reference
from support.slow import SlowProgram
from vagus.v1 import prompt_pb2, steering_pb2
from vagus.v1.steering_pb2 import (
    Ablate,
    Add,
    Clamp,
    Envelope,
    Gate,
    Operation,
    Scope,
    ScopeRule,
    Set,
)

pytestmark = pytest.mark.engine

TEXT = "The letter lay on the kitchen table. She read it twice, then"
TOKENS = 24


def add(concept: str, strength: float, *sites: int, unit: int = RESIDUAL, **more: Any) -> Operation:
    return Operation(concept=concept, sites=sites, add=Add(strength=strength, unit=unit), **more)


def scope(*include: ScopeRule, excepted: tuple[ScopeRule, ...] = ()) -> Scope:
    return Scope(include=include, **{"except": excepted})


def range_(start: int | None = None, end: int | None = None) -> steering_pb2.Range:
    return steering_pb2.Range(start=start, end=end)


PROMPT = ScopeRule(phase=steering_pb2.PHASE_PROMPT)
GENERATION = ScopeRule(phase=steering_pb2.PHASE_GENERATION)

PROGRAMS: dict[str, list[Operation]] = {
    "ablate": [Operation(concept="calm", sites=[10, 12, 14], ablate=Ablate())],
    "ablate a share": [Operation(concept="happy", sites=[15], ablate=Ablate(share=0.5))],
    "set": [Operation(concept="sad", sites=[12, 15], set=Set(value=0.2, unit=RESIDUAL))],
    "set in vectors": [Operation(concept="sad", sites=[15], set=Set(value=-1.5, unit=VECTOR))],
    "clamp from below": [Operation(concept="angry", clamp=Clamp(lower=0.1, unit=RESIDUAL))],
    "clamp from above": [
        Operation(concept="calm", sites=[9, 18], clamp=Clamp(upper=-4, unit=ABSOLUTE))],
    "clamp between": [
        Operation(concept="proud", sites=[9], clamp=Clamp(lower=-0.1, upper=0.1, unit=RESIDUAL))],
    "order matters": [
        add("calm", 0.3, 15),
        Operation(concept="calm", sites=[15], set=Set(value=0.1, unit=RESIDUAL)),
        add("angry", 0.1, 15),
        Operation(concept="desperate", sites=[15], ablate=Ablate()),
    ],
    "positions": [add("calm", 0.4, 12, scope=scope(ScopeRule(positions=range_(2, 6))))],
    "positions from the end": [
        add("calm", 0.4, 12, scope=scope(ScopeRule(positions=range_(-4, -1)))),
        add("sad", 0.2, 12, scope=scope(ScopeRule(positions=range_(start=-2)))),
    ],
    "characters": [add("afraid", 0.5, 10, scope=scope(ScopeRule(characters=range_(15, 28))))],
    "first generated": [add("happy", 0.3, 15, scope=scope(ScopeRule(generated=range_(0, 8))))],
    "after some generated": [
        add("happy", 0.3, 15, scope=scope(ScopeRule(generated=range_(start=5))))],
    "last prompt token": [add("angry", 0.5, 12, scope=scope(ScopeRule(last_prompt_token=True)))],
    "union and exception": [
        add("desperate", 0.2, 15, scope=scope(
            ScopeRule(last_prompt_token=True), GENERATION,
            excepted=(ScopeRule(generated=range_(3, 9)),))),
        add("calm", 0.1, 13, scope=scope(excepted=(ScopeRule(positions=range_(0, 3)),))),
    ],
    "gate": [add("calm", 0.2, 15, gate=Gate(concept="desperate", at_least=0))],
    "gate at each site": [add("calm", 0.1, 12, 15, 18, gate=Gate(concept="sad", at_most=2.5))],
    "gate within a band": [
        add("calm", 0.2, 15, gate=Gate(concept="sad", at_least=-1, at_most=1, z_score=True))],
    "gate at an earlier site": [
        add("angry", 0.2, 15, 18, gate=Gate(concept="calm", site=9, at_least=0, z_score=True)),
        Operation(concept="calm", sites=[9], ablate=Ablate()),
    ],
    "gate at its own site, before the program acts there": [
        add("calm", 0.3, 15),
        add("angry", 0.2, 15, gate=Gate(concept="calm", site=15, at_most=0)),
        add("proud", 0.2, 15, gate=Gate(concept="calm", at_most=0)),
    ],
    "gate and scope": [
        add("calm", 0.2, 15, scope=scope(GENERATION), gate=Gate(concept="afraid", at_least=-1))],
    "gate never open": [add("calm", 0.2, 15, gate=Gate(concept="sad", at_least=1e5))],
    "to the largest position there is": [
        add("happy", 0.3, 15, scope=scope(ScopeRule(generated=range_(2, 2**31 - 1))))],
    "ramp": [add("desperate", 0.4, 15, envelope=Envelope(ramp_tokens=10))],
    "what the ramp does, without one": [add("desperate", 0.4, 15)],
    "a clamp behind a ramp": [
        add("desperate", 0.4, 15, envelope=Envelope(ramp_tokens=10)),
        Operation(concept="angry", sites=[15], clamp=Clamp(lower=0.1, unit=RESIDUAL))],
    "the same without the ramp": [
        add("desperate", 0.4, 15),
        Operation(concept="angry", sites=[15], clamp=Clamp(lower=0.1, unit=RESIDUAL))],
    "decay": [add("desperate", 0.4, 15, envelope=Envelope(half_life_tokens=3))],
    "ramp and decay of a set": [
        Operation(concept="happy", sites=[12, 15], set=Set(value=0.3, unit=RESIDUAL),
                  scope=scope(GENERATION),
                  envelope=Envelope(ramp_tokens=4, half_life_tokens=6))],
    "everything": [
        add("calm", 0.05, 3, 10, 29, scope=scope(PROMPT)),
        Operation(concept="sad", sites=[8, 16], ablate=Ablate(share=0.7)),
        Operation(concept="angry", sites=[16], clamp=Clamp(lower=-1, upper=1, unit=VECTOR),
                  gate=Gate(concept="happy", site=8, at_least=-0.5, z_score=True)),
        add("proud", -0.05, 16, 20, scope=scope(GENERATION), envelope=Envelope(ramp_tokens=5)),
        Operation(concept="loving", sites=[0, 20], set=Set(value=0.5, unit=ABSOLUTE),
                  scope=scope(ScopeRule(positions=range_(1, -1)))),
        add("guilty", 0.02, *range(30)),
        add("afraid", 0.1, 25, gate=Gate(concept="guilty", at_least=0)),
        Operation(concept="calm", ablate=Ablate(), scope=scope(ScopeRule(last_prompt_token=True))),
    ],
}  # fmt: skip


def test_programs_equal_the_reference(server: Any, reference: Reference) -> None:
    """All in one batch, so that rows of every kind lie side by side."""
    prompt = reference.tokenizer.encode(TEXT)

    def run(operations: list[Operation]) -> Any:
        return generate(
            server.channel, spec(TEXT, *operations, readouts=EVERYTHING, max_tokens=TOKENS)
        )

    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        responses = list(pool.map(run, PROGRAMS.values()))
    for (name, operations), response in zip(PROGRAMS.items(), responses, strict=True):
        program = reference.program(*operations, prompt=prompt, text=TEXT)
        try:
            assert compare(reference, program, prompt, response, EVERYTHING), (
                "a gate too close to call"
            )
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


CHAT = [
    (prompt_pb2.ROLE_SYSTEM, "You answer in one sentence."),
    (prompt_pb2.ROLE_USER, "How was the ferry?"),
    (prompt_pb2.ROLE_ASSISTANT, "Late, and the bar was shut."),
    (prompt_pb2.ROLE_USER, "And the sea?"),
]


@pytest.mark.parametrize("role", ["SYSTEM", "USER", "ASSISTANT"])
def test_turns_by_role(role: str, server: Any, reference: Reference) -> None:
    number = prompt_pb2.Role.Value(f"ROLE_{role}")
    messages = [{"role": prompt_pb2.Role.Name(r)[5:].lower(), "content": c} for r, c in CHAT]
    text = reference.tokenizer.apply_chat_template(
        messages, tokenize=False, add_generation_prompt=True
    )
    encoded = reference.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    at, turns = 0, []
    for speaker, content in CHAT:
        at = text.index(content, at)
        turns.append((speaker, at, at + len(content)))
        at += len(content)
    operation = add("desperate", 0.4, 12, scope=scope(ScopeRule(role=number)))
    chat = prompt_pb2.Chat(messages=[prompt_pb2.ChatMessage(role=r, content=c) for r, c in CHAT])
    response = generate(
        server.channel, spec(chat, operation, readouts=EVERYTHING, max_tokens=TOKENS)
    )
    program = SlowProgram(
        steering_pb2.Program(operations=[operation]),
        reference.concepts,
        len(encoded["input_ids"]),
        encoded["offset_mapping"],
        turns,
    )
    assert compare(reference, program, encoded["input_ids"], response, EVERYTHING)
    steered = response.finish.receipt.operations[0].tokens_in_scope
    assert 0 < steered < len(encoded["input_ids"]) + TOKENS - 1
