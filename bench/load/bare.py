"""What gRPC for Python itself keeps of a cancelled stream: the soak's control, without Vagus."""

import asyncio
import gc
import multiprocessing
from multiprocessing.connection import Connection
from typing import Any

import grpc
import psutil  # type: ignore[import-untyped]

_METHOD = "/bare.Service/Stream"
_PARTS, _CONCURRENCY, _MESSAGES = 6, 32, 200


def run(calls: int, message_bytes: int) -> dict[str, Any]:
    """Resident memory of a bare service, in MiB, as streams are cancelled while it writes."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_child, args=(theirs, message_bytes))
    process.start()
    held = asyncio.run(_cancel(ours, calls // _PARTS))
    ours.send(False)
    process.join(10)
    # The first part fills pools.
    kept = (held[-1] - held[0]) * 2**20 / (calls // _PARTS * (_PARTS - 1))
    return {"calls": calls, "rss_mib": held, "bytes_kept_per_call": round(kept)}


def _child(pipe: Connection, message_bytes: int) -> None:
    asyncio.run(_serve(pipe, message_bytes))


async def _serve(pipe: Connection, message_bytes: int) -> None:
    async def stream(_request: bytes, context: Any) -> None:
        for _ in range(_MESSAGES):
            await context.write(bytes(message_bytes))

    handler: Any = grpc.unary_stream_rpc_method_handler(stream)
    server = grpc.aio.server()
    service: Any = grpc.method_handlers_generic_handler("bare.Service", {"Stream": handler})
    server.add_generic_rpc_handlers((service,))
    pipe.send(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    while await asyncio.to_thread(pipe.recv):
        gc.collect()
        pipe.send(psutil.Process().memory_info().rss / 2**20)
    await server.stop(0)


async def _cancel(pipe: Connection, calls: int) -> list[float]:
    held = []
    async with grpc.aio.insecure_channel(f"127.0.0.1:{pipe.recv()}") as channel:
        method: Any = channel.unary_stream(_METHOD)
        for _ in range(_PARTS):
            left = iter(range(calls))

            async def work(left: Any) -> None:
                for _ in left:
                    call = method(b"")
                    await call.read()
                    call.cancel()

            await asyncio.gather(*(work(left) for _ in range(_CONCURRENCY)))
            await asyncio.sleep(0.5)
            pipe.send(True)
            held.append(round(pipe.recv(), 2))
    return held
