"""Looks after a server that runs: does the engine live, does it move, does it still steer?"""

import asyncio
import contextlib
import logging

from vagus_server.engine.canary import run_canary
from vagus_server.engine.engine import Engine
from vagus_server.engine.failures import EngineUnavailable
from vagus_server.health import Health
from vagus_server.metrics.metrics import Metrics

logger = logging.getLogger("vagus.server")

_LOOK_SECONDS = 1.0
#: An engine that does nothing for so long, though the canary waits, does not work any more.
_STUCK_SECONDS = 120.0
_FOREVER = 1e9


class EngineStuck(RuntimeError):
    """The engine runs, and does nothing."""


class Watch:
    """Watches one engine.

    Args:
        canary_seconds: between two canaries; 0 runs none.
        stuck_seconds: time without an output or a pass after which an engine with work is given
            up.
    """

    def __init__(
        self,
        engine: Engine,
        health: Health,
        metrics: Metrics,
        canary_seconds: float,
        stuck_seconds: float = _STUCK_SECONDS,
    ) -> None:
        self._engine = engine
        self._health = health
        self._metrics = metrics
        self._canary_seconds = canary_seconds
        self._stuck_seconds = stuck_seconds

    async def until_lost(self) -> None:
        """Returns when the engine cannot be used any more: it has died, or does not move."""
        usage = asyncio.create_task(self._report_usage())
        canaries = asyncio.create_task(self._canaries())
        try:
            while self._engine.healthy and not canaries.done():
                await asyncio.wait({canaries}, timeout=_LOOK_SECONDS)
        finally:
            usage.cancel()
            canaries.cancel()
        logger.error("the engine is stuck" if self._engine.healthy else "the engine has died")

    async def _report_usage(self) -> None:
        while True:
            # A dead engine is seen by the next look at its health.
            with contextlib.suppress(Exception):
                usage = await self._engine.usage()
                self._metrics.worker(usage["requests"], usage["slots"])
            await asyncio.sleep(_LOOK_SECONDS)

    async def _canaries(self) -> None:
        """Returns when the engine is stuck."""
        while True:
            await asyncio.sleep(self._canary_seconds or _FOREVER)
            try:
                await run_canary_moving(self._engine, self._stuck_seconds)
            except EngineStuck:
                return
            except EngineUnavailable:
                pass  # the look at its health says so
            except Exception as failure:
                # Besides CanaryFailed, whatever vLLM says of a request that it cannot run.
                logger.error("the canary failed, the server is not ready: %r", failure)
                await self._found(False)
            else:
                await self._found(True)

    async def _found(self, passed: bool) -> None:
        if passed and not self._health.is_ready:
            logger.warning("the canary passes again")
        self._metrics.canary(passed)
        await self._health.ready(passed)


async def run_canary_moving(engine: Engine, stuck_seconds: float) -> None:
    """Runs the canary, for as long as it takes while the engine does anything at all.

    A busy engine lets the canary wait like any request, and one that computes a long prompt
    brings nothing for a long time.

    Raises:
        EngineStuck: nothing came, and no pass was seen, for so many seconds. Passes are seen while
            the engine's usage is looked at, see `Watch`.
        CanaryFailed: see there.
    """
    canary = asyncio.create_task(run_canary(engine))
    try:
        while True:
            seen = engine.sinks.readout_bytes, engine.passes
            await asyncio.wait({canary}, timeout=stuck_seconds)
            if canary.done():
                return canary.result()
            if (engine.sinks.readout_bytes, engine.passes) == seen:
                raise EngineStuck
    finally:
        canary.cancel()
