"""Programs of changed requests: a worker's slots never run out, and room is counted truly."""

from pathlib import Path
from random import Random

import numpy as np
import pytest

from support.bare_scheduler import BareEngine, scheduler
from support.tiny_models import HIDDEN, LAYERS
from vagus_kernels.layout import ADD
from vagus_server.plugin.batch import Batch
from vagus_server.plugin.config import PluginConfig
from vagus_server.plugin.wire import (
    FULL,
    NO_END,
    News,
    Order,
    OrderOperation,
    OrderPolicy,
    Sighting,
    encode_order,
)

PROMPT = [5, 6, 7, 8]
EVERYTHING = ((len(PROMPT) - 1, NO_END),)


def operation(length: float) -> OrderOperation:
    return OrderOperation(ADD, 1, (1,), (length,), (0.0,), ((0, NO_END),))


def policy(concept: int) -> OrderPolicy:
    """It acts while the readout is at least 1, and each is a program of its own."""
    added = (operation(concept + 10.0),)
    return OrderPolicy(0, concept, 0.0, 1.0, 1, 1.0, 1.0, 1.0, 1, added, bytes([concept]) * 32)


def order(program: int, *policies: OrderPolicy) -> Order:
    """Program 0 is none."""
    operations = (operation(float(program)),) if program else ()
    digest = program.to_bytes(32, "big") if program else b""
    return Order(operations, digest, EVERYTHING, policies=policies)


def engine(folder: Path, running: int, room: int) -> BareEngine:
    slots = 1 + running + room
    config = PluginConfig(LAYERS, HIDDEN, readout_sites=(0,), concepts=4, slots=slots)
    batch = Batch(config, np.ones((LAYERS, config.vectors), dtype=np.float32), table_rows=1024)
    return BareEngine(scheduler(folder, 2 * running + 2, running, slots=slots), batch)


def test_one_policy_of_many_requests_takes_one_slot(tmp_path: Path) -> None:
    """It began and ceased on 255 of them: the last one, and a caller, still find room."""
    from vllm.v1.request import RequestStatus

    bare = engine(tmp_path, running=256, room=8)
    for n in range(256):
        bare.add(f"r{n}", PROMPT, order(0, policy(0), policy(1)))
    news: list[News] = []
    while not all(request.num_output_tokens for request in bare.scheduler.requests.values()):
        news.append(bare.step(lambda name, *_: float(name != "r255"))[1])
    news.append(bare.step(lambda *_: 0.0)[1])
    news.append(bare.step(lambda name, *_: float(name == "r255"))[1])
    sightings = [sighting for each in news for sighting in each.sightings]
    assert not any(sighting.failed for sighting in sightings)
    assert {s.id for s in sightings if s.begins} == {f"r{n}" for n in range(256)}
    assert bare.scheduler.vagus_change("r0", 1, encode_order(order(1))) >= 0
    bare.step(lambda *_: 0.0)
    # Of one policy, of both, and, of a request that was changed, its own.
    assert len(bare.scheduler._vagus_room) <= 4
    bare.scheduler.finish_requests(None, RequestStatus.FINISHED_ABORTED)
    assert len(bare.scheduler._vagus_room) == 0


def test_changes_leave_room_for_policies(tmp_path: Path) -> None:
    """A caller changes its requests to whatever there is room for; then another's policy begins."""
    bare = engine(tmp_path, running=4, room=8)
    for name in "abc":
        bare.add(name, PROMPT, order(0))
    bare.add("watched", PROMPT, order(0, policy(0)))
    while not all(request.num_output_tokens for request in bare.scheduler.requests.values()):
        bare.step(lambda *_: 0.0)
    made = 0
    for program in range(1, 30):
        changed = encode_order(order(program))
        made += bare.scheduler.vagus_change("abc"[program % 3], program, changed) != FULL
        bare.step(lambda *_: 0.0)
    assert made == 6
    _, news = bare.step(lambda *_: 1.0)
    assert [(s.id, s.begins, s.failed) for s in news.sightings] == [("watched", True, False)]


def test_ceasing_without_room_fails_the_request(tmp_path: Path) -> None:
    """Of two policies one ceases, which leads to a program that there is no slot for."""
    bare = engine(tmp_path, running=2, room=2)
    bare.add("a", PROMPT, order(1, policy(0), policy(1)))
    bare.add("b", PROMPT, order(2))
    bare.step(lambda _, position, concept: float(concept == 0))
    bare.step(lambda *_: 1.0)
    assert len(bare.scheduler._vagus_room) == 2, "policy 0 alone, and both"
    assert bare.scheduler.vagus_change("b", 1, encode_order(order(3))) == FULL
    _, news = bare.step(lambda *_: 0.0)
    assert [(s.policy, s.begins, s.failed) for s in news.sightings] == [
        (0, False, True),
        (1, False, False),
    ], "without policy 0 it is a new program; policy 0 alone is there"
    assert [(s.id, s.policies) for s in news.switches] == [("a", (0,))]


def test_ceasing_takes_no_slot_that_is_not_there(tmp_path: Path) -> None:
    """Three policies begin at once and cease one by one: two programs more for each request."""
    bare = engine(tmp_path, running=8, room=12)
    for n in range(1, 9):
        bare.add(f"r{n}", PROMPT, order(n, *map(policy, range(3)) if n < 7 else ()))
    while not all(request.num_output_tokens for request in bare.scheduler.requests.values()):
        bare.step(lambda *_: 0.0)
    seen: list[Sighting] = []
    for ceased in range(4):
        seen += bare.step(lambda _, position, concept, n=ceased: float(concept >= n))[1].sightings
    bare.step(lambda *_: 0.0)
    assert not any(sighting.failed for sighting in seen if sighting.begins)
    assert any(sighting.failed for sighting in seen), "there was room for all"
    assert bare.batch.roster.slots.used == 8 + 12


@pytest.mark.parametrize("seed", range(3))
def test_slots_never_run_out(seed: int, tmp_path: Path) -> None:
    """Requests with programs of their own, changed at random, some of them preempted."""
    random = Random(seed)
    bare = engine(tmp_path, running=8, room=5)
    asked = (policy(0), policy(1), policy(2))
    fails = names = steps = 0
    while steps < 150:
        while len(bare.scheduler.requests) < 10:
            names += 1
            base = random.randrange(4) * names
            bare.add(f"r{names}", PROMPT * 6, order(base, *asked), random.randrange(2, 60))
        if random.random() < 0.3:
            name = random.choice(list(bare.scheduler.requests))
            changed = order(random.choice([0, 100 + names]), *asked)
            start = bare.scheduler.vagus_change(name, 1, encode_order(changed))
            fails += start == FULL
        _, news = bare.step(lambda *_: random.choice([0.0, 1.0]))
        fails += sum(sighting.failed and not sighting.begins for sighting in news.sightings)
        steps += 1
        assert bare.batch.roster.slots.used <= 8 + 5
    assert fails, "there was always room"
