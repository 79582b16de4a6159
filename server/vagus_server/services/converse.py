"""Changes of a running request: taken while its tokens leave, each answered in the same stream."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import grpc

from vagus.v1 import generation_service_pb2 as pb
from vagus_server.access.audit import program_facts
from vagus_server.engine.running import Running
from vagus_server.errors import ApiError, invalid
from vagus_server.services.context import check_request_id, current_call
from vagus_server.services.failure import as_api_error
from vagus_server.services.messages import first
from vagus_server.services.prepare import Prepared, reading
from vagus_server.services.served import Served

#: Most programs that one request can be changed to. All of them stay on the device until it
#: ends, with their vectors, for it may be preempted and computed anew.
MAX_PROGRAM_CHANGES = 64
#: Answers that wait for the next output. While so many do, no further change is read.
_MAX_WAITING = 64


async def first_message(requests: AsyncIterator[pb.ConverseRequest]) -> pb.GenerationSpec:
    """The spec that a conversation starts with; raises ApiError when it is not there."""
    message = await first(requests)
    if message is not None and message.WhichOneof("message") == "start":
        return message.start
    invalid("start", "must be set in the first message")


class Changes:
    """Reads a caller's changes, makes them and answers them, one after the other.

    Args:
        served: what is served.
        prepared: the request.
        requests: the caller's messages after the first one.
    """

    def __init__(
        self, served: Served, prepared: Prepared, requests: AsyncIterator[pb.ConverseRequest]
    ) -> None:
        self._served = served
        self._prepared = prepared
        self._requests = requests
        self._answers: list[pb.Changed] = []
        self._taken = asyncio.Event()
        self._error: Exception | None = None
        self._making = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def begin(self, running: Running) -> None:
        """Starts to read, for a request that has been submitted."""
        self._task = asyncio.create_task(self._read(running))

    def end(self) -> None:
        """Reads no more."""
        if self._task is not None:
            self._task.cancel()

    @property
    def still(self) -> asyncio.Lock:
        """Whoever holds it does so while no change is made."""
        return self._making

    async def answers(self, *, last: bool) -> list[pb.Changed]:
        """The answers since the last call; `last` waits for those that are being made.

        Raises:
            ApiError: a message was not a change.
        """
        if last:
            async with self._making:
                pass
        if self._error is not None:
            raise self._error
        answers, self._answers = self._answers, []
        self._taken.set()
        return answers

    async def _read(self, running: Running) -> None:
        try:
            async for message in self._requests:
                if message.WhichOneof("message") != "change":
                    invalid("change", "must be set in every message after the first")
                async with self._making:
                    # Not in one line: the list may be another one after the await.
                    answer = await self._answer(message.change, running)
                    self._answers.append(answer)
                if len(self._answers) >= _MAX_WAITING:
                    self._taken.clear()
                    await self._taken.wait()
        except Exception as error:
            # Raised where the outputs are, so that the call ends with its status.
            self._error = error

    async def _answer(self, change: pb.Change, running: Running) -> pb.Changed:
        try:
            changed = await self._make(change, running)
        except Exception as failure:
            error = as_api_error(failure, current_call.get())
            self._served.metrics.changed(False)
            return pb.Changed(
                id=change.id,
                refusal=pb.Refusal(
                    code=error.code.value[0],
                    reason=error.reason,
                    message=error.message,
                    metadata=error.metadata,
                ),
            )
        self._served.metrics.changed(True)
        return changed

    async def _make(self, change: pb.Change, running: Running) -> pb.Changed:
        """Everything is validated before anything is changed."""
        served, prepared, call = self._served, self._prepared, current_call.get()
        check_request_id(change.id, "change.id")
        reads = change.HasField("readouts")
        if change.stop_reading and reads:
            invalid("change.stop_reading", "contradicts change.readouts")
        if not (change.HasField("program") or reads or change.stop_reading):
            invalid("change", "changes nothing: set program, readouts or stop_reading")
        program = selection = renderer = None
        if change.HasField("program"):
            if len(running.programs) > MAX_PROGRAM_CHANGES:
                raise ApiError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    "TOO_MANY_CHANGES",
                    f"the program of a request can be changed {MAX_PROGRAM_CHANGES} times",
                    limit=MAX_PROGRAM_CHANGES,
                )
            program = served.resolver.resolve(
                change.program,
                prepared.prompt,
                "change.program",
                call.tenant,
                call.limits.max_dose,
            )
            policies = running.request.policies
            served.policies.check_room(program, policies, "change.program")
        if reads:
            for field in ("prompt", "last_prompt_token"):
                if getattr(change.readouts, field):
                    invalid(f"change.readouts.{field}", "reads the prompt, which is over")
            selection, renderer = reading(served, change.readouts, "change.readouts")
        changed = pb.Changed(id=change.id)
        if program is not None:
            account, digest = call.caller.account, program.tables_digest.hex()
            with ExitStack() as held:
                inline = account.inline_vectors.holding(program.inline, served.bank_rows)
                slot = account.changed_programs.holding([digest], served.program_room)
                held.enter_context(inline)
                held.enter_context(slot)
                call.note("change", change_id=change.id, **program_facts(program))
                changed.program_from = await running.change(program, change.id)
                call.held.push(held.pop_all())  # until the request has ended
            changed.program_digest = program.digest.hex() if program else ""
        if reads or change.stop_reading:
            changed.readouts_from = prepared.continuations[0].answer.read(selection, renderer)
        return changed
