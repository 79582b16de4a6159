"""Streams that are read, beside streams whose readers have stopped."""

import asyncio
import socket
import sys
import time
from typing import Any

import grpc
import numpy as np
from hyperframe.frame import SettingsFrame

from support.fake_server_process import FakeServerProcess
from support.hostile_frames import PREFACE, data, headers, message, start
from vagus.v1 import generation_service_pb2 as pb
from vagus.v1.prompt_pb2 import Prompt
from vagus.v1.readout_pb2 import ReadoutSelection
from vagus.v1.sampling_pb2 import Sampling

_METHOD = "/vagus.v1.GenerationService/StreamGenerate"
_CONNECTIONS = 8


def run(streams: int, readers: int, tokens: int, step: float, rounds: int) -> dict[str, Any]:
    """Quantiles of the seconds between messages, in alternating runs without and with."""
    found: dict[str, list[list[float]]] = {"without": [], "with": []}
    arguments = ("--step-seconds", str(step), "--keepalive-seconds", "600")
    with FakeServerProcess(*arguments) as server:
        for _ in range(rounds):
            for name, stopped in (("without", 0), ("with", readers)):
                gaps = asyncio.run(_round(server, streams, stopped, tokens))
                quantiles = np.percentile(gaps, [50, 99]).tolist()
                found[name].append([round(q, 4) for q in quantiles])
                print(name, found[name][-1], server.held(), file=sys.stderr, flush=True)
    medians = {name: np.median(np.array(q), axis=0).tolist() for name, q in found.items()}
    return {
        "streams": streams,
        "stopped_readers": readers,
        "tokens": tokens,
        "step_seconds": step,
        "p50_p99_seconds": found,
        "median_p50_p99_seconds": medians,
        "p99_ratio": round(medians["with"][1] / medians["without"][1], 3),
    }


def _request(tokens: int) -> bytes:
    spec = pb.GenerationSpec(
        prompt=Prompt(text="hello"),
        sampling=Sampling(max_tokens=tokens),
        readouts=ReadoutSelection(top_k=4, generation=True, after=True, z_score=True),
    )
    return bytes(pb.StreamGenerateRequest(spec=spec).SerializeToString())


async def _round(server: FakeServerProcess, streams: int, stopped: int, tokens: int) -> list[float]:
    request = _request(tokens)
    connections = [_stopped(server.target, request) for _ in range(stopped)]
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(server.target, options) for _ in range(_CONNECTIONS)]
    gaps: list[float] = []
    try:
        reads = (_read(channels[i % _CONNECTIONS], request, gaps) for i in range(streams))
        await asyncio.gather(*reads)
        calls = server.held()["calls"]
        if calls != stopped:
            raise RuntimeError(f"{calls} calls are stopped, not {stopped}")
    finally:
        for connection in connections:
            connection.close()
        for channel in channels:
            await channel.close()
    return gaps


def _stopped(target: str, request: bytes) -> socket.socket:
    """A stream whose window has no room for any message."""
    host, port = target.rsplit(":", 1)
    connection = socket.create_connection((host, int(port)))
    settings = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
    call = start(headers(path=_METHOD)) + data(message(request), "END_STREAM")
    connection.sendall(PREFACE + settings.serialize() + call)
    return connection


async def _read(channel: grpc.aio.Channel, request: bytes, gaps: list[float]) -> None:
    last = None
    method: Any = channel.unary_stream(_METHOD)
    async for _ in method(request):
        now = time.perf_counter()
        if last is not None:
            gaps.append(now - last)
        last = now
