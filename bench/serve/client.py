"""Runs a round through gRPC with the Python client library, as a user does."""

from collections.abc import AsyncIterator
from functools import partial

from bench.serve.measure import Request, Round, run_round
from bench.serve.modes import BenchmarkError, Mode, Work
from vagus import AsyncClient, Operation, Readouts, add, verify_receipt


async def server_round(client: AsyncClient, mode: Mode, work: Work) -> Round:
    """Streams all requests at once; verifies every receipt and that every readout came."""
    requests: list[Request] = [
        partial(_follow, client, mode, work, i) for i in range(len(work.prompts))
    ]
    return await run_round(requests, work.tokens)


async def _follow(
    client: AsyncClient, mode: Mode, work: Work, index: int
) -> AsyncIterator[list[int]]:
    program: list[Operation] = []
    strength = mode.strength(index, work.strength)
    if strength is not None:
        program.append(add(work.concept, strength))
    call = client.stream(
        list(work.prompts[index]),
        program=program or None,
        readouts=Readouts(work.readouts, generation=True) if mode.read else None,
        temperature=0.0,
        max_tokens=work.tokens,
        ignore_eos=True,
    )
    readouts = 0
    async with call as stream:
        async for event in stream:
            for token in event.tokens:
                readouts += len(token.readout.z) if token.readout else 0
            yield [token.id for token in event.tokens]
    verify_receipt(program, stream.result)
    if readouts != (work.tokens * len(work.readouts) if mode.read else 0):
        raise BenchmarkError(f"{readouts} readouts came for {work.tokens} tokens in {mode.name}")
