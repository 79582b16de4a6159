"""The course of the benchmark: parity first, then pairs of rounds."""

import argparse
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any

from bench.serve.client import server_round
from bench.serve.idle import Meter, Usage, settle
from bench.serve.measure import Round
from bench.serve.modes import CONTROL, MODES, BenchmarkError, Mode, Work
from bench.serve.process import EngineProcess
from bench.serve.report import Cell
from vagus import AsyncClient

#: A policy needs two tokens to act.
_WARMING_TOKENS = 4


def say(text: str) -> None:
    """Tells how it goes, beside the results."""
    print(text, file=sys.stderr, flush=True)


class Benchmark:
    """One run, with both engines up.

    Args:
        arguments: of the command line.
        prompts: token ids.
        concepts: of the pack.
        run_stock: runs a round on the other side.
        vagus: the process with our server.
        client: connected to our server; None in a control, where there is none.
        pids: of both processes, the other side's first; of one where it is both sides.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        prompts: list[tuple[int, ...]],
        concepts: list[str],
        run_stock: Callable[[Work], Coroutine[Any, Any, Round]],
        vagus: EngineProcess,
        client: AsyncClient | None,
        pids: tuple[int, ...],
    ) -> None:
        self._arguments = arguments
        self._prompts = prompts
        self._readouts = tuple(concepts[: arguments.readouts])
        self._run_stock = run_stock
        self._vagus = vagus
        self._client = client
        self._pids = pids

    def _work(self, first: int, batch: int, tokens: int) -> Work:
        chosen = (self._prompts[(first + i) % len(self._prompts)] for i in range(batch))
        a = self._arguments
        return Work(tuple(chosen), tokens, a.concept, a.strength, self._readouts)

    async def _run_vagus(self, mode: Mode, work: Work) -> Round:
        if mode.path == "server":
            assert self._client is not None
            return await server_round(self._client, mode, work)
        return await self._vagus.run(None if mode == CONTROL else mode, work)

    async def check(self) -> None:
        """Raises BenchmarkError unless Vagus generates what stock vLLM does, and steers.

        Unsteered prompts run one by one: what else is in a batch changes roundings.
        """
        tokens = self._arguments.parity_tokens
        modes = (CONTROL,) if self._client is None else MODES
        for i in range(len(self._prompts)):
            work = self._work(i, 1, tokens)
            expected = await self._run_stock(work)
            for mode in modes:
                if not mode.steers:
                    found = await self._run_vagus(mode, work)
                    if not found.same_as(expected):
                        raise BenchmarkError(
                            f"{mode.name} generates {found.tokens[0]} for prompt {i}, and stock "
                            f"vLLM {expected.tokens[0]}"
                        )
        for mode in modes:
            if mode.steers:
                await self._run_vagus(mode, self._work(0, 2, tokens))

    async def measure(self, mode: Mode, batch: int) -> Cell:
        """One cell: pairs in the order S V, V S, S V, ..., of which the first is discarded.

        The order alternates so that a machine that slows down or speeds up favours neither.
        """
        cell = Cell(mode.name, batch)
        for pair in range(self._arguments.pairs + 1):
            work = self._work(pair * batch, batch, self._arguments.tokens)
            run_vagus = partial(self._run_vagus, mode)
            if pair % 2 == 0:
                stock, stock_usage = await self._measured(self._run_stock, work)
                vagus, vagus_usage = await self._measured(run_vagus, work)
            else:
                vagus, vagus_usage = await self._measured(run_vagus, work)
                stock, stock_usage = await self._measured(self._run_stock, work)
            if pair > 0:
                cell.add(stock, vagus, stock_usage, vagus_usage)
            ratio = vagus.tokens_per_second / stock.tokens_per_second
            say(
                f"{mode.name} batch {batch} pair {pair}: stock {stock.tokens_per_second:.1f} "
                f"vagus {vagus.tokens_per_second:.1f} tokens/s, ratio {ratio:.3f}, "
                f"other processes {vagus_usage.others:.2f} cores"
                + (" (warm-up, discarded)" if pair == 0 else "")
            )
        return cell

    async def _measured(
        self, run: Callable[[Work], Coroutine[Any, Any, Round]], work: Work
    ) -> tuple[Round, Usage]:
        """A round, after a few tokens of the same requests that do not count.

        The first tokens after a pause can be slow, of either engine: code and weights are not in
        the caches, and threads have gone to sleep.
        """
        await settle(self._pids)
        await run(replace(work, tokens=min(_WARMING_TOKENS, work.tokens)))
        meter = Meter(self._pids)
        return await run(work), meter.read()
