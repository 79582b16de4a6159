"""A request while it runs: its outputs, its evidence, and changes of what steers it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from vagus_server.engine.failures import (
    ChangeTooLate,
    EngineUnavailable,
    GivenUp,
    ProgramsFull,
    ReceiptMismatch,
)
from vagus_server.engine.request import STOPPED_BY_POLICY, EngineOutput, EngineRequest, Times
from vagus_server.engine.sink import Sink
from vagus_server.plugin.wire import FULL, OVER, Order, Switch
from vagus_server.policies.policy import Policy
from vagus_server.steering.program import Program
from vagus_server.steering.receipt import Ledger

if TYPE_CHECKING:
    from vagus_server.engine.engine import Engine

#: How often it is asked, in seconds, whether vLLM knows a request that is being submitted.
_SUBMIT_SECONDS = 0.002
#: Reasons for which a request ends as it was asked to. Only then does its receipt have to balance.
_AS_ASKED = frozenset({"stop", "length", STOPPED_BY_POLICY})


@dataclass(frozen=True)
class PolicyEvent:
    """A policy began or ceased to act, decided by the readout of the token at `position`."""

    policy: Policy
    begins: bool
    position: int
    #: The smoothed z-score there.
    value: float
    stops: bool

    @property
    def kind(self) -> str:
        """In a word: "began", "ceased" or "stopped"."""
        return "stopped" if self.stops else "began" if self.begins else "ceased"


class Running:
    """A running request: iterate `outputs`; rows, turn and ledger fill up alongside."""

    def __init__(self, engine: "Engine", request: EngineRequest, sink: Sink) -> None:
        self.request = request
        self.sink = sink
        self.ledger = Ledger(request.program, engine.plugin.sites)
        #: The request's own programs: the first, and what it was changed to.
        self.programs = [request.program]
        #: The caller's ids of the changes that brought them.
        self.change_ids = [""]
        #: What policies did, in order.
        self.events: list[PolicyEvent] = []
        self._noted = 0
        #: Tokens, as far as they were taken; of a request that was given up, all.
        self.generated = 0
        #: Prompt tokens from the prefix cache; None where the cache was not asked.
        self.cached_tokens: int | None = None
        #: Whether the receipt balanced; None unless the request has ended as it was asked to.
        self.balanced: bool | None = None
        #: None until the request has ended there.
        self.finish_reason: str | None = None
        #: vLLM's; None until the request has ended there.
        self.times: Times | None = None
        self._engine = engine
        #: What the programs need on the device, held until the request has ended there.
        self._held = AsyncExitStack()
        #: Rows of the vectors that it came with.
        self._row_of: dict[str, int] = {}
        #: Set when the request goes to vLLM.
        self._begun = asyncio.Event()
        self._over = False

    async def outputs(self) -> AsyncGenerator[EngineOutput]:
        """Yields outputs as they arise. Closing the iterator aborts the request.

        Raises:
            ReceiptMismatch: before the last output is given out, when the device's marks
                differ from the program.
            ProgramsFull: a policy could not steer, or cease to.
            BankFull: there is no room for the request's vectors; it has not been started.
            GivenUp: the engine could not run it.
            EngineUnavailable: the engine has died, or has been told to drop its requests.
        """
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            # vLLM's iterator is closed before anything is let go of: the engine then hears of
            # an abort before it hears of whatever takes the request's place.
            async with self._held as held:
                holding = self._engine.bank.holding(self.request.contents)
                self._row_of.update(await held.enter_async_context(holding))
                order = self._order(self.request.program, self._row_of)
                self._begun.set()
                async with aclosing(self._engine.generate(self.request, order)) as outputs:
                    async for raw in outputs:
                        output = self._take(raw)
                        if output.finish_reason is not None:
                            self._over = True
                            self._check_end(output.finish_reason)
                        yield output
        except EngineDeadError:
            raise EngineUnavailable("the engine has died") from None
        finally:
            self._over = True
            self._begun.set()
            self._take_what_is_left()

    def _order(self, program: Program, row_of: Mapping[str, int]) -> Order:
        """The order for a program of this request, whose vectors are held in these rows."""
        request = self.request
        return Order(
            operations=program.order_operations(row_of),
            digest=program.tables_digest if program else b"",
            read=request.rows,
            policies=tuple(policy.order(row_of) for policy in request.policies),
        )

    async def change(self, program: Program, change_id: str = "") -> int:
        """Replaces the request's own program from the next token on that is not yet scheduled.

        What its policies add stays. The vectors of all its programs stay on the device until it
        has ended. Changes are made one after the other.

        Args:
            program: the new one.
            change_id: the caller's own, for the receipt.

        Returns:
            The first position that the new program holds for.

        Raises:
            ChangeTooLate: the request has ended.
            ProgramsFull, BankFull: nothing has changed.
            EngineUnavailable: the engine has died.
        """
        # It may wait in the queue for long, and many others beside it.
        await self._begun.wait()
        while not (internal := self._engine.internal_ids(self.request.request_id)):
            if self._over or self.sink.ended:
                raise ChangeTooLate
            await asyncio.sleep(_SUBMIT_SECONDS)
        async with AsyncExitStack() as held:
            holding = self._engine.bank.holding(program.contents.values())
            row_of = {**self._row_of, **await held.enter_async_context(holding)}
            if self._over:
                raise ChangeTooLate
            # Outputs may name it before the call has returned.
            self.programs.append(program)
            self.change_ids.append(change_id)
            number, order = len(self.programs) - 1, self._order(program, row_of)
            start = await self._engine.change(internal[0], number, order)
            if start in (OVER, FULL):
                del self.programs[number], self.change_ids[number]
                raise ChangeTooLate if start == OVER else ProgramsFull
            if not self._over:
                # Otherwise nobody might let go of it any more.
                self._held.push_async_callback(held.pop_all().aclose)
        return start

    def _take(self, output: EngineOutput) -> EngineOutput:
        self.generated += len(output.token_ids)
        if not self.request.reads_prompt:
            self.cached_tokens = output.cached_tokens
        self._take_evidence()
        sink = self.sink
        sink.settle(self.processed_end)
        sightings, sink.sightings = sink.sightings, []
        for s in sightings:
            policy = self.request.policies[s.policy]
            value = policy.smoothed(s.value)
            self.events.append(PolicyEvent(policy, s.begins, s.position, value, s.stops))
            if s.failed:
                raise ProgramsFull
        if output.finish_reason == "abort" and self.stopped_by is not None:
            output = replace(output, finish_reason=STOPPED_BY_POLICY, stop_reason=None)
        self.finish_reason, self.times = output.finish_reason, output.times
        return output

    def _take_evidence(self) -> None:
        sink = self.sink
        switches, sink.switches = sink.switches, []
        for switch in switches:
            program = self.program_of(switch)
            self.ledger.change(switch.start, program, switch.base, switch.policies)
        spans, sink.spans = sink.spans, []
        for span in spans:
            self.ledger.add(*span)

    def _take_what_is_left(self) -> None:
        """Of a request that was given up: what the engine did counts, taken by its reader or not.

        Each position that was processed behind the prompt's last was a generated token.
        """
        if self.finish_reason is not None:
            return
        prompt, most = len(self.request.token_ids), int(self.request.sampling["max_tokens"])
        furthest = max((span.start + span.tokens for span in self.sink.spans), default=0)
        self._take_evidence()
        self.generated = min(max(self.generated, furthest - prompt + 1), most)

    def new_events(self) -> list[PolicyEvent]:
        """What policies did since the last call."""
        new = self.events[self._noted :]
        self._noted = len(self.events)
        return new

    @property
    def stopped_by(self) -> Policy | None:
        """The policy that ended the request; None when none did."""
        return next((event.policy for event in self.events if event.stops), None)

    def program_of(self, switch: Switch) -> Program:
        """What holds from a switch on: the request's own, and what policies add to it."""
        parts = [self.programs[switch.base]]
        parts += [self.request.policies[i].program for i in switch.policies]
        return Program(tuple(operation for part in parts for operation in part.operations))

    @property
    def steered(self) -> bool:
        """Whether anything was to steer it so far."""
        return bool(self.request.program) or len(self.ledger.segments(self.processed_end)) > 1

    @property
    def processed_end(self) -> int:
        """One past the last position that was processed: the last token never is."""
        return len(self.request.token_ids) + max(self.generated, 1) - 1

    def _check_end(self, reason: str) -> None:
        # "abort" and "error" are vLLM's words for requests that it gave up by itself.
        if reason == "abort":
            raise EngineUnavailable("the engine has dropped the request")
        if reason not in _AS_ASKED:
            raise GivenUp(f"the engine ended the request: {reason}")
        self._balance()

    def _balance(self) -> None:
        mismatch = self.ledger.check(self.processed_end)
        self.balanced = mismatch is None
        if mismatch is not None:
            raise ReceiptMismatch(mismatch)

    def row(self, position: int) -> np.ndarray | None:
        """Takes the row of a position, float32 [readout sites, concepts, 2]."""
        return self.sink.rows.pop(position, None)
