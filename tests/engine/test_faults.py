"""Clients that vanish, stop or do not read, and an engine that dies: who notices, who does not.

One server for all; the last test kills its engine.
"""

import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2

from support import reader_driver
from support.calls import EVERYTHING, add, generate, ids, spec, stream
from support.half_open import HalfOpen
from support.killing import kill_of_the_engine
from support.refusals import FULL, check, refused
from support.server_process import ServerProcess
from support.waiting import wait_for

pytestmark = pytest.mark.engine

ROWS, PLACES, REQUESTS = 4, 5, 7
#: Longer than any of these tests.
ENDLESS = 2000


@pytest.fixture(scope="module")
def shared(model_folder: Any) -> Iterator[ServerProcess]:
    with ServerProcess(
        *("--eager", "--max-model-len", "2048", "--max-running", str(ROWS)),
        *("--max-requests", str(REQUESTS), "--max-wait", "300", "--slow-reader", "300"),
        *("--keepalive-seconds", "5", "--canary-seconds", "0"),
        # The page of metrics is looked at all the time here: one concept makes it short.
        *("--metric-concepts", "calm"),
    ) as server:
        yield server


@pytest.fixture
def clean(shared: ServerProcess) -> Iterator[ServerProcess]:
    """After every test everything is free: rows, slots, places, and all of the KV cache."""
    yield shared
    wait_for(lambda: shared.usage() == {"requests": 0, "slots": 0}, "the workers to be free")
    # The engine tells the use of its cache with each step.
    generate(shared.channel, spec("Hi", max_tokens=1))
    metrics = shared.metrics()
    used = [v for k, v in metrics.items() if k.startswith("vllm:kv_cache_usage_perc")]
    assert used == [0]
    for name in ("running", "waiting", "queued"):
        assert metrics[f"vagus_requests_{name}"] == 0


@contextmanager
def reader(server: ServerProcess) -> Iterator["subprocess.Popen[str]"]:
    """A client process that reads an endless stream and has its first message."""
    command = [sys.executable, reader_driver.__file__, server.target]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reading\n"
            yield process
        finally:
            process.kill()


def all_finish(server: ServerProcess) -> None:
    """Others are served."""
    with ThreadPoolExecutor(3) as pool:
        requests = [spec(f"Number {n}", add("calm", 0.1), max_tokens=8) for n in range(3)]
        responses = list(pool.map(lambda request: generate(server.channel, request), requests))
    assert [len(ids(response)) for response in responses] == [8, 8, 8]


def test_a_killed_client_leaves_nothing(clean: ServerProcess) -> None:
    with reader(clean) as process:
        assert clean.metrics()["vagus_requests_running"] == 1
        process.kill()
        process.wait(30)
        wait_for(lambda: clean.metrics()["vagus_requests_running"] == 0, "its request to end")


def test_a_stopped_client_stalls_nobody_and_is_ended(clean: ServerProcess) -> None:
    with reader(clean) as process:
        process.send_signal(signal.SIGSTOP)
        all_finish(clean)
        wait_for(lambda: clean.metrics()["vagus_requests_running"] == 0, "its request to end")
        process.send_signal(signal.SIGCONT)
        assert process.stdout is not None
        assert process.stdout.readline() == "UNAVAILABLE\n"


def test_a_half_open_connection_is_found(clean: ServerProcess) -> None:
    with HalfOpen(clean.target) as proxy, grpc.insecure_channel(proxy.target) as channel:
        call = stream(channel, spec("Once upon a time", max_tokens=ENDLESS))
        next(call)
        proxy.freeze()
        all_finish(clean)
        wait_for(lambda: clean.metrics()["vagus_requests_running"] == 0, "its request to end")


def test_a_reader_that_pauses_gets_all_tokens_in_fewer_messages(clean: ServerProcess) -> None:
    def generated() -> float:
        found = clean.metrics().items()
        return sum(n for name, n in found if name.startswith("vllm:generation_tokens_total"))

    tokens, before = 64, generated()  # several times what the connection's windows hold
    narrow = [("grpc.http2.lookahead_bytes", 1024), ("grpc.http2.bdp_probe", 0)]
    with grpc.insecure_channel(clean.target, options=narrow) as channel:
        call = stream(channel, spec("Once", readouts=EVERYTHING, max_tokens=tokens))
        messages = [next(call)]
        # The engine goes on to the end, and is then free for others.
        wait_for(lambda: generated() == before + tokens, "the engine to end", 300)
        wait_for(lambda: clean.usage()["requests"] == 0, "the engine to be free", 300)
        messages += call
    got = [token for message in messages for token in message.tokens]
    assert len(messages) < tokens
    first = got[0].readout.position
    assert [token.readout.position for token in got] == list(range(first, first + tokens))
    assert messages[-1].finish.usage.generated_tokens == tokens


def test_the_queue_is_bounded_and_left_at_the_deadline(clean: ServerProcess) -> None:
    def state() -> tuple[int, ...]:
        metrics = clean.metrics()
        return tuple(
            int(metrics[f"vagus_requests_{name}"]) for name in ("running", "waiting", "queued")
        )

    def endless(timeout: float = 300) -> Any:
        request = spec("Once upon a time", max_tokens=ENDLESS)
        return stream(clean.channel, request, timeout=timeout)

    held = [endless() for _ in range(PLACES)]
    wait_for(lambda: state() == (ROWS, PLACES - ROWS, 0), "all places to be taken")
    late = endless(timeout=1)
    with pytest.raises(grpc.RpcError) as caught:
        next(late)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_for(lambda: state()[2] == 0, "the queue to be left")

    queued = [
        stream(clean.channel, spec(f"Waiting {n}", max_tokens=2)) for n in range(REQUESTS - PLACES)
    ]
    wait_for(lambda: state()[2] == REQUESTS - PLACES, "the queue to be full")
    refusal = refused(lambda: generate(clean.channel, spec("Hi")))
    check(refusal, FULL, {"limit": str(REQUESTS)})
    assert refusal.status.details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)
    for call in held:
        call.cancel()
    assert [sum(len(message.tokens) for message in call) for call in queued] == [2, 2]


def test_a_killed_engine_ends_its_calls_and_the_server(shared: ServerProcess) -> None:
    kill_of_the_engine(shared, "EngineCore", calls=6, running=ROWS, tokens=ENDLESS)
