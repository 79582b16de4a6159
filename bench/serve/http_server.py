"""vLLM's own OpenAI-compatible server on the stock engine, and a client of it.

The client asks for streamed completions and reads each event's JSON: less than the `openai`
package does, so that the comparison with our client favours the other side.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import aiohttp

from bench.serve.measure import Request, Round, run_round
from bench.serve.modes import BenchmarkError, Mode, Work
from bench.serve.process import Settings, Started, answer, reporting

_NAME = "bench"


def openai(connection: Connection, settings: Settings) -> None:
    """Runs vLLM's server, on the event loop that it runs on by itself."""
    import uvloop

    uvloop.run(reporting(connection, _openai(connection, settings)))


async def _openai(connection: Connection, settings: Settings) -> None:
    from vllm.entrypoints.launchers.api_server.entry import build_and_serve
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from bench.serve.engines import facts, notes, stock_llm

    llm = stock_llm(settings)
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    options = ["--model", str(settings.model), "--served-model-name", _NAME, "--host", host]
    options += ["--port", str(port), "--uvicorn-log-level", "warning"]
    options += ["--disable-uvicorn-access-log"]
    arguments = make_arg_parser(FlexibleArgumentParser()).parse_args(options)
    serving = asyncio.create_task(build_and_serve(llm, host, listening, arguments))

    async def nothing(_: Mode | None, __: Work) -> Round:
        raise BenchmarkError("this server is driven over HTTP")

    try:
        await _reachable(f"http://{host}:{port}/health")
        connection.send(Started(facts(llm.vllm_config), notes(), port))
        await answer(connection, nothing)
    finally:
        serving.cancel()
        # What it gives back closes its connections.
        await (await serving)
        llm.shutdown()


async def _reachable(url: str) -> None:
    """Returns once a GET of the address is answered."""
    async with aiohttp.ClientSession() as session:
        for _ in range(600):
            try:
                async with session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
    raise BenchmarkError(f"{url} does not answer")


async def openai_round(session: aiohttp.ClientSession, port: int, work: Work) -> Round:
    """Streams all requests at once."""
    url = f"http://127.0.0.1:{port}/v1/completions"
    requests: list[Request] = [
        partial(_follow, session, url, _body(prompt, work)) for prompt in work.prompts
    ]
    return await run_round(requests, work.tokens)


def _body(prompt: tuple[int, ...], work: Work) -> dict[str, Any]:
    body = {"model": _NAME, "prompt": list(prompt), "stream": True, **work.sampling}
    # Ours come with their ids as well, and the parity check needs them.
    return {**body, "return_token_ids": True, "stream_options": {"include_usage": True}}


async def _follow(
    session: aiohttp.ClientSession, url: str, body: dict[str, Any]
) -> AsyncIterator[list[int]]:
    async with session.post(url, json=body) as response:
        if response.status != 200:
            raise BenchmarkError(f"status {response.status}: {await response.text()}")
        async for line in response.content:
            data = line.removeprefix(b"data: ").strip()
            if not data or data == b"[DONE]":
                continue
            for choice in json.loads(data)["choices"]:
                yield choice["token_ids"] or []
