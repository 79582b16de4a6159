"""Several continuations of a prompt on the real engine: each as if it had been asked for alone."""

import pytest

from support.calls import add, generate, ids, rows, spec, stream
from support.refusals import refused
from vagus.v1 import readout_pb2

pytestmark = pytest.mark.engine

PROMPT = "The letter lay on the kitchen table. She read it twice, then"
READ = readout_pb2.ReadoutSelection(prompt=True, generation=True, before=True, after=True, raw=True)


def test_each_is_what_its_own_seed_gives(server: object) -> None:
    channel = server.channel  # type: ignore[attr-defined]
    sampling = {"temperature": 1.0, "seed": 7, "max_tokens": 12, "readouts": READ}
    many = generate(channel, spec(PROMPT, add("calm", 0.2), n=3, **sampling))
    assert len(many.others) == 2
    first = generate(channel, spec(PROMPT, add("calm", 0.2), **sampling))
    assert (ids(many), many.text) == (ids(first), first.text)
    assert len(rows(many)) == len(rows(first))
    for i, other in enumerate(many.others, 1):
        alone = generate(channel, spec(PROMPT, add("calm", 0.2), **(sampling | {"seed": 7 + i})))
        assert [token.id for token in other.tokens] == ids(alone)
        assert other.text == alone.text
        (operation,) = other.finish.receipt.operations
        assert operation.sites[0].tokens == operation.tokens_in_scope > 0
        assert all(token.HasField("readout") for token in other.tokens)
    assert len({tuple(t.id for t in one.tokens) for one in (many, *many.others)}) == 3


def test_a_stream_says_which_it_is_of(server: object) -> None:
    channel = server.channel  # type: ignore[attr-defined]
    asked = spec(PROMPT, add("calm", 0.2), n=4, temperature=0.8, max_tokens=6, readouts=READ)
    messages = list(stream(channel, asked))
    assert {message.index for message in messages} == {0, 1, 2, 3}
    for index in range(4):
        mine = [message for message in messages if message.index == index]
        assert sum(len(message.tokens) for message in mine) == 6
        assert [m.HasField("finish") for m in mine] == [False] * (len(mine) - 1) + [True]
        assert any(message.HasField("layout") for message in mine) == (index == 0)
        assert any(message.prompt_readouts for message in mine) == (index == 0)


def test_a_call_that_ends_ends_them_all(server: object) -> None:
    channel = server.channel  # type: ignore[attr-defined]
    call = stream(channel, spec(PROMPT, n=5, temperature=1.0, max_tokens=400, request_id="many"))
    next(iter(call))
    taken = refused(lambda: generate(channel, spec(PROMPT, request_id="many")))
    assert taken.info.reason == "REQUEST_ID_IN_USE"
    call.cancel()


def test_greedy_ones_are_refused(server: object) -> None:
    refusal = refused(lambda: generate(server.channel, spec(PROMPT, n=2)))  # type: ignore[attr-defined]
    assert refusal.info.metadata["field"] == "spec.sampling.n"
