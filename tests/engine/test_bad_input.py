"""Every way to ask wrongly: refused before anything is admitted, with a precise reason."""

from typing import Any

import pytest
from google.protobuf.message import Message

from support.calls import ABSOLUTE, RESIDUAL, VECTOR, add, generate, ids
from support.refusals import (
    BAD,
    DOSE,
    EMPTY,
    NO_CONCEPT,
    NO_MODEL,
    NO_PACK,
    NO_SITE,
    NOT_YET,
    TOKEN_ID,
    TOO_LONG,
    TOO_MANY,
    Refusal,
    check,
)
from support.variants import (
    added,
    asking,
    calm,
    chat,
    naming,
    prompt,
    read_text,
    reading,
    refusals,
    sample,
    scoped,
    steer,
    strength,
)
from support.waiting import wait_for
from vagus.v1 import concept_service_pb2 as concept
from vagus.v1 import generation_service_pb2 as generation
from vagus.v1 import model_service_pb2 as model
from vagus.v1 import prompt_pb2, steering_pb2
from vagus.v1.prompt_pb2 import Prompt, TokenIds
from vagus.v1.readout_pb2 import ConceptNames, ReadoutSelection
from vagus.v1.sampling_pb2 import Choices, Sampling, Structure
from vagus.v1.steering_pb2 import Ablate, Clamp, Envelope, Gate, Operation, Range, ScopeRule

pytestmark = pytest.mark.engine

NAN, INF = float("nan"), float("inf")
VOCABULARY, CONTEXT = 49152, 1024
OPERATION, SAMPLING, READOUTS = "spec.program.operations[0]", "spec.sampling", "spec.readouts"
LIMIT = str(CONTEXT - 1)
USER, TOOL = prompt_pb2.ROLE_USER, prompt_pb2.ROLE_TOOL

# fmt: off
CASES: list[tuple[str, Message, Refusal, dict[str, str]]] = [
    # What is served
    ("other model", asking(model="gpt-5"), NO_MODEL, {"model": "gpt-5"}),
    ("model of 100 kB", asking(model="é" * 50_000), NO_MODEL, {}),
    ("other pack", asking(pack="emotions"), NO_PACK, {"pack": "emotions"}),
    ("other digest", asking(pack="0" * 64), NO_PACK, {"pack": "0" * 64}),
    # Prompt
    ("no spec", generation.GenerationSpec(), EMPTY, {"field": "spec.prompt"}),
    ("empty text", prompt(text=""), EMPTY, {"field": "spec.prompt"}),
    ("no ids", prompt(token_ids=TokenIds()), EMPTY, {"field": "spec.prompt"}),
    ("no messages", chat(), EMPTY, {"field": "spec.prompt"}),
    ("long text", prompt(text="word " * 1100), TOO_LONG, {"tokens": "1101", "limit": LIMIT}),
    ("long ids", prompt(token_ids=TokenIds(ids=[9] * CONTEXT)), TOO_LONG, {"tokens": "1024"}),
    ("long chat", chat((USER, "word " * 1100)), TOO_LONG, {"field": "spec.prompt"}),
    ("enormous text", prompt(text="x" * 3_000_000), TOO_LONG, {"field": "spec.prompt.text"}),
    ("enormous chat", chat((USER, "x" * 3_000_000)), TOO_LONG, {"field": "spec.prompt.chat"}),
    ("enormous ids", prompt(token_ids=TokenIds(ids=[9] * 3_000_000)), TOO_LONG, {}),
    ("id past the vocabulary", prompt(token_ids=TokenIds(ids=[1, VOCABULARY])), TOKEN_ID,
     {"field": "spec.prompt.token_ids.ids[1]", "value": "49152", "limit": "49151"}),
    ("greatest id", prompt(token_ids=TokenIds(ids=[2**32 - 1])), TOKEN_ID, {"limit": "49151"}),
    ("no role", chat((USER, "Hi"), (0, "Ho")), BAD,
     {"field": "spec.prompt.chat.messages[1].role", "value": "0"}),
    ("unknown role", chat((77, "Hi")), BAD, {"value": "77"}),
    # Concept
    ("misspelt concept", steer(add("desparate", 0.1)), NO_CONCEPT,
     {"field": f"{OPERATION}.concept", "concept": "desparate", "nearest": "desperate"}),
    ("concept in capitals", steer(add("CALM", 0.1)), NO_CONCEPT, {"nearest": "calm"}),
    ("nothing like it", steer(add("xyzzy42", 0.1)), NO_CONCEPT, {"nearest": ""}),
    ("odd characters", steer(add("\x00\n🙂" * 90, 0.1)), NO_CONCEPT, {"nearest": ""}),
    ("no concept", steer(add("", 0.1)), BAD, {"field": f"{OPERATION}.concept"}),
    ("second operation", steer(add("calm", 0.1), add("sadd", 0.1)), NO_CONCEPT,
     {"field": "spec.program.operations[1].concept", "nearest": "sad"}),
    # Strength
    *(
        (f"{value} {name}", strength(value, unit), BAD,
         {"field": f"{OPERATION}.add.strength", "value": str(value)})
        for name, unit in (("residual", RESIDUAL), ("vector", VECTOR), ("absolute", ABSOLUTE))
        for value in (NAN, INF, -INF, 2.0**120)
    ),
    ("no unit", strength(0.1, 0), BAD, {"field": f"{OPERATION}.add.unit", "value": "0"}),
    ("unknown unit", strength(0.1, 9), BAD, {"field": f"{OPERATION}.add.unit", "value": "9"}),
    ("no action", calm(), BAD, {"field": f"{OPERATION}.action"}),
    ("dose over the limit", strength(2.5), DOSE,
     {"field": "spec.program", "dose": "2.5", "limit": "2"}),
    ("dose away from it", strength(-2.5), DOSE, {"dose": "2.5"}),
    ("dose over sites", steer(add("calm", 0.25, tuple(range(9)))), DOSE, {"dose": "2.25"}),
    ("dose over operations", steer(add("calm", 1.5), add("sad", -1.5)), DOSE, {"dose": "3"}),
    ("dose in vectors", strength(100_000, VECTOR), DOSE, {"limit": "2"}),
    ("dose absolute", strength(900_000, ABSOLUTE), DOSE, {"limit": "2"}),
    ("nine operations", steer(*[add("calm", 0.01)] * 9), TOO_MANY,
     {"field": "spec.program.operations", "value": "9", "limit": "8"}),
    # Sites
    ("site past the last", steer(add("calm", 0.1, (29, 30))), NO_SITE,
     {"field": f"{OPERATION}.sites[1]", "site": "30", "limit": "29"}),
    ("greatest site", steer(add("calm", 0.1, (2**32 - 1,))), NO_SITE, {"limit": "29"}),
    ("site twice", steer(add("calm", 0.1, (3, 4, 3))), BAD,
     {"field": f"{OPERATION}.sites[2]", "value": "3"}),
    # Actions, scopes, gates and envelopes that make no sense (more in tests/server)
    ("ablate too much", calm(ablate=Ablate(share=1.5)), BAD,
     {"field": f"{OPERATION}.ablate.share"}),
    ("set to nothing", calm(set=steering_pb2.Set(value=NAN, unit=RESIDUAL)), BAD,
     {"field": f"{OPERATION}.set.value"}),
    ("set without a unit", calm(set=steering_pb2.Set(value=1)), BAD,
     {"field": f"{OPERATION}.set.unit"}),
    ("set over the dose", calm(set=steering_pb2.Set(value=3, unit=RESIDUAL)), DOSE, {"dose": "3"}),
    ("clamp without bounds", calm(clamp=Clamp(unit=RESIDUAL)), BAD,
     {"field": f"{OPERATION}.clamp"}),
    ("clamp upside down", calm(clamp=Clamp(lower=1, upper=0, unit=RESIDUAL)), BAD,
     {"field": f"{OPERATION}.clamp.lower"}),
    ("empty gate", added(gate=Gate()), BAD, {"field": f"{OPERATION}.gate.concept"}),
    ("gate on nothing known", added(gate=Gate(concept="sadd", at_least=1)), NO_CONCEPT,
     {"field": f"{OPERATION}.gate.concept", "nearest": "sad"}),
    ("gate at a later site", added(sites=[3], gate=Gate(concept="sad", site=4, at_least=1)), BAD,
     {"field": f"{OPERATION}.gate.site", "value": "4", "limit": "3"}),
    ("gate at no site", added(gate=Gate(concept="sad", site=30, at_least=1)), NO_SITE,
     {"field": f"{OPERATION}.gate.site", "limit": "29"}),
    ("empty envelope", added(envelope=Envelope()), BAD, {"field": f"{OPERATION}.envelope"}),
    ("ramp of 0", added(envelope=Envelope(ramp_tokens=0)), BAD,
     {"field": f"{OPERATION}.envelope.ramp_tokens"}),
    ("empty range", scoped(positions=Range(start=2, end=2)), BAD,
     {"field": f"{OPERATION}.scope.include[0].positions"}),
    ("characters past the end", scoped(characters=Range(end=99)), BAD,
     {"field": f"{OPERATION}.scope.include[0].characters", "limit": "17"}),
    ("role without a chat", scoped(role=USER), BAD,
     {"field": f"{OPERATION}.scope.include[0].role"}),
    ("bad exception", added(scope=steering_pb2.Scope(**{"except": [ScopeRule(phase=0)]})), BAD,
     {"field": f"{OPERATION}.scope.except[0].phase"}),
    # Not served yet, never ignored
    ("too many continuations", sample(n=17), BAD, {"field": f"{SAMPLING}.n", "value": "17"}),
    ("greedy continuations", sample(n=2, temperature=0), BAD, {"field": f"{SAMPLING}.n"}),
    ("empty rule", scoped(), BAD, {"field": f"{OPERATION}.scope.include[0].rule"}),
    ("no phase", scoped(phase=0), BAD, {"field": f"{OPERATION}.scope.include[0].phase"}),
    ("unknown phase", scoped(phase=12), BAD, {"value": "12"}),
    # Structure
    ("no form", sample(structure=Structure()), BAD, {"field": f"{SAMPLING}.structure.form"}),
    ("broken schema", sample(structure=Structure(json_schema='{"type": ')), BAD,
     {"field": f"{SAMPLING}.structure.json_schema"}),
    ("schema of no type", sample(structure=Structure(json_schema='{"type": "feeling"}')), BAD,
     {"field": f"{SAMPLING}.structure.json_schema"}),
    ("schema that ends nowhere", sample(structure=Structure(json_schema="[" * 20_000)), BAD,
     {"field": f"{SAMPLING}.structure.json_schema"}),
    ("enormous schema", sample(structure=Structure(json_schema="x" * 65_537)), BAD,
     {"field": f"{SAMPLING}.structure.json_schema", "value": "65537", "limit": "65536"}),
    ("broken regex", sample(structure=Structure(regex="(calm")), BAD,
     {"field": f"{SAMPLING}.structure.regex"}),
    ("empty regex", sample(structure=Structure(regex="")), BAD,
     {"field": f"{SAMPLING}.structure.regex", "value": "0"}),
    ("no choices", sample(structure=Structure(choices=Choices())), BAD,
     {"field": f"{SAMPLING}.structure.choices.texts", "value": "0"}),
    ("empty choice", sample(structure=Structure(choices=Choices(texts=["a", ""]))), BAD,
     {"field": f"{SAMPLING}.structure.choices.texts[1]"}),
    # Readouts
    ("no tokens to read", reading(raw=True), BAD, {"field": READOUTS}),
    ("no names", naming(), BAD, {"field": f"{READOUTS}.names.names"}),
    ("empty name", naming("calm", ""), BAD, {"field": f"{READOUTS}.names.names[1]"}),
    ("name twice", naming("calm", "sad", "calm"), BAD,
     {"field": f"{READOUTS}.names.names[2]", "value": "calm"}),
    ("unknown name", naming("calm", "hapy"), NO_CONCEPT,
     {"field": f"{READOUTS}.names.names[1]", "concept": "hapy", "nearest": "happy"}),
    ("top 0", reading(generation=True, top_k=0), BAD,
     {"field": f"{READOUTS}.top_k", "value": "0"}),
    ("top 1000", reading(generation=True, top_k=1000), BAD, {"value": "1000"}),
    ("site without a reader", reading(generation=True, sites=[3]), NOT_YET,
     {"field": f"{READOUTS}.sites[0]"}),
    ("readout site twice", reading(generation=True, sites=[19, 19]), BAD,
     {"field": f"{READOUTS}.sites[1]", "value": "19"}),
    ("readout site past the last", reading(generation=True, sites=[30]), NO_SITE,
     {"field": f"{READOUTS}.sites[0]", "site": "30"}),
    # Sampling
    *(
        (f"{name} {value}", sample(**{name: value}), BAD,
         {"field": f"{SAMPLING}.{name}", "value": str(value)})
        for name, values in {
            "temperature": (-0.5, 2.5, NAN, INF),
            "top_p": (0.0, -1.0, 1.5, NAN),
            "min_p": (-0.5, 1.5, NAN),
            "presence_penalty": (-2.5, 2.5, NAN, -INF),
            "frequency_penalty": (-2.5, 2.5, NAN),
            "repetition_penalty": (0.0, -1.0, 2.5, NAN),
            "max_tokens": (0,),
            "n": (0,),
            "min_tokens": (17, 2**32 - 1),
            "logprobs": (21, 2**32 - 1),
            "seed": (2**63, 2**64 - 1),
        }.items()
        for value in values
    ),
    ("min over default max", generation.GenerationSpec(
        prompt=Prompt(text="Hi"), sampling=Sampling(min_tokens=257)), BAD,
     {"field": f"{SAMPLING}.min_tokens", "value": "257", "limit": "256"}),
    ("empty stop", sample(stop=["a", ""]), BAD, {"field": f"{SAMPLING}.stop[1]"}),
    ("long stop", sample(stop=["é" * 257]), BAD, {"value": "257", "limit": "256"}),
    ("17 stops", sample(stop=list("abcdefghijklmnopq")), BAD,
     {"field": f"{SAMPLING}.stop", "value": "17", "limit": "16"}),
    ("65 stop tokens", sample(stop_token_ids=range(65)), BAD,
     {"field": f"{SAMPLING}.stop_token_ids", "value": "65", "limit": "64"}),
    ("stop token past the vocabulary", sample(stop_token_ids=[2, VOCABULARY]), TOKEN_ID,
     {"field": f"{SAMPLING}.stop_token_ids[1]", "value": "49152", "limit": "49151"}),
    # Request id
    *(
        (f"request id {name}", asking(request_id=value), BAD, {"field": "spec.request_id"})
        for name, value in {
            "space": "a b", "newline": "a\n", "129": "x" * 129, "non-ASCII": "é", "null": "\x00",
        }.items()
    ),
    # ReadText
    ("read generation", read_text("Hi", readouts=ReadoutSelection(generation=True)), BAD,
     {"field": "readouts.generation"}),
    ("read nothing", read_text(), BAD, {"field": "inputs", "value": "0", "limit": "64"}),
    ("read 65", read_text(*["Hi"] * 65), BAD, {"field": "inputs", "value": "65"}),
    ("one empty among good", read_text("Hi", "", "Ho"), EMPTY, {"field": "inputs[1]"}),
    ("one long among good", read_text("Hi", "word " * 1100), TOO_LONG, {"field": "inputs[1]"}),
    ("read other model", read_text("Hi", model="gpt-5"), NO_MODEL, {"model": "gpt-5"}),
    ("read other pack", read_text("Hi", pack="moods"), NO_PACK, {"pack": "moods"}),
    ("read unknown concept", read_text(
        "Hi", readouts=ReadoutSelection(names=ConceptNames(names=["clam"]))), NO_CONCEPT,
     {"field": "readouts.names.names[0]", "nearest": "calm"}),
    ("read unserved site", read_text("Hi", readouts=ReadoutSelection(sites=[0])), NOT_YET,
     {"field": "readouts.sites[0]"}),
    ("read over the dose", read_text(
        "Hi", program=steering_pb2.Program(operations=[add("calm", 2.5)])), DOSE,
     {"field": "program", "dose": "2.5"}),
    ("read with too much ablation", read_text("Hi", program=steering_pb2.Program(
        operations=[Operation(concept="calm", ablate=Ablate(share=2))])), BAD,
     {"field": "program.operations[0].ablate.share"}),
    ("read with a bad id", read_text("Hi", request_id="a b"), BAD, {"field": "request_id"}),
    # Concepts, packs and models
    ("get unknown concept", concept.GetConceptRequest(name="angri"), NO_CONCEPT,
     {"field": "name", "concept": "angri", "nearest": "angry"}),
    ("get no concept", concept.GetConceptRequest(), BAD, {"field": "name"}),
    ("large page", concept.ListConceptsRequest(page_size=1001), BAD,
     {"field": "page_size", "value": "1001", "limit": "1000"}),
    ("unknown page", concept.ListConceptsRequest(page_token="zzz"), BAD,
     {"field": "page_token", "value": "zzz"}),
    ("get other pack", concept.GetPackRequest(name="moods"), NO_PACK, {"pack": "moods"}),
    ("get other model", model.GetModelRequest(name="gpt-5"), NO_MODEL, {"model": "gpt-5"}),
]
# fmt: on


@pytest.mark.parametrize(
    ("message", "expected", "metadata"), [case[1:] for case in CASES], ids=[c[0] for c in CASES]
)
def test_refused(
    message: Message, expected: Refusal, metadata: dict[str, str], server: Any
) -> None:
    found = refusals(server.channel, message)
    for refusal in found:
        check(refusal, expected, metadata)
        assert refusal.status == found[0].status, "Generate and StreamGenerate differ"


def test_after_all_that_a_good_request_is_answered(server: Any) -> None:
    assert len(ids(generate(server.channel, steer(add("calm", 0.1))))) == 16
    counted = server.metrics()
    for method in ("Generate", "StreamGenerate"):
        for code in ("INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"):
            assert counted[f'vagus_requests_total{{code="{code}",method="{method}"}}'] > 0
    assert not [k for k, v in counted.items() if 'code="INTERNAL"' in k and v]
    for gauge in ("requests_running", "requests_waiting", "program_slots_used"):
        wait_for(lambda: server.metrics()[f"vagus_{gauge}"] == 0, f"{gauge} to be 0")  # noqa: B023
