"""A few thousand hostile requests: each is answered for what it is, and nothing stays behind.

`bench/load/run.py hostile` makes as many as one likes.
"""

from collections.abc import Iterator
from random import Random

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fake_server_process import FakeServerProcess
from support.good_messages import GOOD
from support.hostile_calls import METHODS, Caller, Outcomes, make_calls
from support.hostile_frames import (
    ATTACKS,
    FAULTS,
    NOT_UTF8,
    answer,
    garbled,
)
from support.waiting import wait_for

#: As numbers of gRPC's: INVALID_ARGUMENT, DEADLINE_EXCEEDED, UNIMPLEMENTED.
EXPECTED = {
    "good": "grpc 0",
    "no message": "grpc 3",
    "an empty end": "grpc 3",
    "half a message": "grpc 3",
    "odd path": "grpc 12",
    "long path": "grpc 12",
    "timeout of nothing": "grpc 4",
}


@pytest.fixture(scope="module")
def server() -> Iterator[FakeServerProcess]:
    with FakeServerProcess() as running:
        yield running


def held(server: FakeServerProcess) -> tuple[int, ...]:
    found = server.held()
    names = ("tasks", "file_descriptors", "sinks", "in_engine", "calls", "queued")
    return tuple(found[name] for name in names)


def test_good_messages_are_good(server: FakeServerProcess) -> None:
    with grpc.insecure_channel(server.target) as channel:
        for method in METHODS:
            if method.client_streaming or method.name == "DeleteConcept":
                continue
            for message in GOOD[method.name]:
                path = f"/{method.containing_service.full_name}/{method.name}"
                if "structure" in str(message):
                    continue  # takes vLLM
                assert list(channel.unary_stream(path)(message.SerializeToString(), timeout=30))


def test_every_call_is_answered_and_nothing_stays(server: FakeServerProcess) -> None:
    make_calls(server.target, seed=1, count=50)
    before = held(server)
    outcomes = make_calls(server.target, seed=2, count=1500)
    assert outcomes.faults == []
    kinds = outcomes.by_code()
    assert kinds["fields"]["OK"] > 100, "hardly any call came through"
    assert kinds["no message"].keys() == {"INVALID_ARGUMENT"}
    assert kinds["unknown method"].keys() == {"UNIMPLEMENTED"}
    refused = [o for o in outcomes.counts if o.code.name in ("INVALID_ARGUMENT", "NOT_FOUND")]
    assert all(o.reason for o in refused)
    wait_for(lambda: held(server) <= before, "the server to forget its calls")
    assert "Traceback" not in "".join(server.log)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False))
def test_any_message_is_answered(server: FakeServerProcess, random: Random) -> None:
    outcomes = Outcomes()
    with grpc.insecure_channel(server.target) as channel:
        Caller([channel], random, outcomes).call()
    assert outcomes.faults == []


@pytest.mark.parametrize("attack", EXPECTED)
def test_broken_calls_have_their_status(server: FakeServerProcess, attack: str) -> None:
    assert answer(server.target, ATTACKS[attack](), seconds=30) == EXPECTED[attack]


def test_a_path_that_is_not_utf8_ends_its_own_call_alone(server: FakeServerProcess) -> None:
    """gRPC 1.84 to 1.85.1 stop the whole server there, hence the bound in pyproject.toml."""
    answer(server.target, ATTACKS[NOT_UTF8]())
    assert answer(server.target, ATTACKS["good"](), seconds=30) == "grpc 0"
    # Nor does a stranger write pages into the log with it.
    assert "Invalid encoding" not in "".join(server.log)


def test_broken_connections_end_alone(server: FakeServerProcess) -> None:
    random = Random(3)
    before = held(server)
    for name, attack in ATTACKS.items():
        found = answer(server.target, attack(), seconds=0.1)
        assert found not in FAULTS or name == NOT_UTF8, name
    for _ in range(30):
        assert answer(server.target, garbled(random), seconds=0.1) != "grpc 15"
    assert answer(server.target, ATTACKS["good"](), seconds=30) == "grpc 0"
    wait_for(lambda: held(server) <= before, "the server to forget its connections")
