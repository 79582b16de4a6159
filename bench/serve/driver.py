"""Drives a Vagus server's engine directly, and checks what the device did."""

from collections.abc import AsyncIterator
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench.serve.measure import Request, Round, run_round
from bench.serve.modes import BenchmarkError, Mode, Work

if TYPE_CHECKING:
    from vagus_server.app import App
    from vagus_server.engine.request import EngineRequest
    from vagus_server.engine.running import Running

_FOREVER = 2**31 - 1


class Driver:
    """Drives a server's engine directly, as the server's own services do."""

    def __init__(self, app: "App") -> None:
        from bench.serve.policies import bench_policies

        self._app = app
        self._count = 0
        self._policies = {
            kind: bench_policies(app.engine.pack, app.served.resolver, kind)
            for kind in ("none", "tell", "steer")
        }

    async def run(self, mode: Mode | None, work: Work) -> Round:
        """Runs a round."""
        assert mode is not None
        self._count += 1
        requests: list[Request] = [
            partial(self._follow, mode, self._request(mode, work, i))
            for i in range(len(work.prompts))
        ]
        return await run_round(requests, work.tokens)

    def _request(self, mode: Mode, work: Work, index: int) -> "EngineRequest":
        from vagus.v1 import steering_pb2 as pb
        from vagus_server.engine.request import EngineRequest
        from vagus_server.steering.scope import PromptMap

        message = pb.Program()
        strength = mode.strength(index, work.strength)
        if strength is not None:
            add = pb.Add(strength=strength, unit=pb.STRENGTH_UNIT_RESIDUAL)
            message.operations.add(concept=work.concept, add=add)
        prompt = list(work.prompts[index])
        return EngineRequest(
            request_id=f"bench-{self._count}-{index}",
            token_ids=prompt,
            sampling=dict(work.sampling),
            program=self._app.served.resolver.resolve(message, PromptMap(len(prompt)), "program"),
            # A generated token's readout is that of the position before it.
            read=((len(prompt) - 1, _FOREVER),) if mode.read else (),
            monitor=mode.monitor,
            policies=self._policies[mode.policies],
        )

    async def _follow(self, mode: Mode, request: "EngineRequest") -> AsyncIterator[list[int]]:
        engine = self._app.engine
        running = engine.submit(request)
        position = len(request.token_ids) - 1
        try:
            async for output in running.outputs():
                for _ in output.token_ids:
                    row = running.row(position)
                    if mode.read and (row is None or not np.isfinite(row).all()):
                        raise BenchmarkError(f"no readout of position {position}")
                    position += 1
                yield output.token_ids
        finally:
            engine.close(request)
        _check(running, mode)


def _check(running: "Running", mode: Mode) -> None:
    """Raises BenchmarkError unless the device did what the mode says, and nothing else."""
    end, ledger, prompt = running.processed_end, running.ledger, len(running.request.token_ids)
    last = ledger.segments(end)[-1]
    expected = ledger.processed_tokens(end) if running.request.program else 0
    if mode.policies == "steer":
        # All begin at the first token, and hold one or two tokens later.
        expected = end - min(last.start, prompt + 2)
    steered = ledger.steered_tokens(end)
    if not running.balanced or steered != expected:
        raise BenchmarkError(f"the device steered {steered} tokens of {expected}")
    if len(running.events) != len(running.request.policies):
        raise BenchmarkError(f"{len(running.events)} policies began in {mode.name}")
    if (running.sink.turn_tokens > 0) != mode.monitor:
        raise BenchmarkError(f"the turn has {running.sink.turn_tokens} tokens in {mode.name}")
