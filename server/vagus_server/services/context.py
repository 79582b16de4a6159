"""What is known of the call being served."""

import re
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from vagus_server.access.access import Caller
from vagus_server.access.audit import Audit, program_facts
from vagus_server.access.keys import TenantLimits
from vagus_server.engine.request import EngineRequest
from vagus_server.engine.running import Running
from vagus_server.errors import ApiError, invalid
from vagus_server.steering.program import Program

#: A handler's context. Its two type parameters are the messages', which handlers state anyway.
ServicerContext: TypeAlias = grpc.aio.ServicerContext[Any, Any]

REQUEST_ID_KEY = "vagus-request-id"
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass
class Call:
    """One call.

    Args:
        method: its name.
        caller: whose it is.
        request_id: names it in logs; the caller may give another.
        peer: where it came from.
        audit: takes note of what it does; None takes none.
    """

    method: str
    caller: Caller = field(default_factory=Caller)
    request_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    peer: str = ""
    audit: Audit | None = None
    #: Path of the structure that its text is held to; empty without one.
    structure: str = ""
    #: Places that it has among the tenant's open requests.
    places: int = 0
    #: Tokens that are taken for requests of it that have not ended.
    reserved: int = 0
    #: What it holds of the room on the device.
    held: ExitStack = field(default_factory=ExitStack)
    #: How its requests ended, for the audit log; None while that has nothing of the call.
    outcome: list[dict[str, Any]] | None = None

    @property
    def tenant(self) -> str:
        """Separates prefix caches and uploaded concepts."""
        return self.caller.tenant

    @property
    def engine_id(self) -> str:
        """The request id inside the engine: tenants may use the same ones."""
        return f"{self.tenant} {self.request_id}" if self.tenant else self.request_id

    @property
    def limits(self) -> TenantLimits:
        """What the tenant may use."""
        return self.caller.account.limits

    def open(self, places: int = 1) -> None:
        """Takes further places among the tenant's open requests; raises ApiError."""
        self.caller.account.open(places, self.places)
        self.places += places

    def reserve(self, *requests: EngineRequest) -> None:
        """Takes the most tokens that the requests can use out of the tenant's; raises ApiError."""
        tokens = sum(request.most_tokens for request in requests)
        self.caller.account.reserve(tokens)
        self.reserved += tokens

    def hold(self, programs: Sequence[Program], rows: int) -> None:
        """Takes rows for the programs' inline vectors, out of so many; raises ApiError."""
        inline = {digest for program in programs for digest in program.inline}
        self.held.enter_context(self.caller.account.inline_vectors.holding(inline, rows))

    def ended(self, running: Running) -> None:
        """Takes a request's end: its unused tokens go back, its receipt into the audit log."""
        request = running.request
        used = len(request.token_ids) + running.generated
        self.caller.account.give_back(request.most_tokens - used)
        self.reserved -= request.most_tokens
        if self.outcome is not None and running.steered:
            self.outcome.append(
                {
                    "generated_tokens": running.generated,
                    "steered_tokens": running.ledger.steered_tokens(running.processed_end),
                    "receipt": {None: "none", True: "verified", False: "failed"}[running.balanced],
                }
            )

    def close(self) -> None:
        """Gives back the places, the room, and the tokens of requests that never began."""
        self.caller.account.close(self.places)
        self.caller.account.give_back(self.reserved)
        self.places = self.reserved = 0
        self.held.close()

    def note(self, event: str, **facts: Any) -> None:
        """Writes into the audit log what the call is about to do; raises OSError."""
        if self.audit is not None:
            self.outcome = self.outcome or []
            self.audit.write(event, **self._facts(), **facts)

    def note_steering(self, programs: Sequence[Program], prompts: Sequence[Message]) -> None:
        """Writes into the audit log that the call is about to steer, if it is."""
        for program, prompt in zip(programs, prompts, strict=True):
            if self.audit is not None and program:
                texts = {"prompt": MessageToDict(prompt)} if self.audit.texts else {}
                self.note("steer", **program_facts(program), **texts)

    def note_end(self, code: grpc.StatusCode, reason: str) -> None:
        """Writes into the audit log how the call ended, if it is there; raises OSError."""
        if self.audit is not None and self.outcome is not None:
            facts = self._facts() | {"code": code.name, "reason": reason}
            self.audit.write("end", **facts, requests=self.outcome)

    def _facts(self) -> dict[str, Any]:
        return {
            "request_id": self.request_id,
            "tenant": self.tenant,
            "key": self.caller.key,
            "method": self.method,
            "peer": self.peer,
        }


current_call: ContextVar[Call] = ContextVar("current_call")


def check_request_id(request_id: str, name: str) -> None:
    """Raises ApiError unless the id is empty or 1 to 128 visible ASCII characters."""
    if request_id and not _VISIBLE.fullmatch(request_id):
        invalid(name, "must be 1 to 128 visible ASCII characters", value=request_id)


def check_deadline(context: ServicerContext) -> None:
    """Raises DEADLINE_EXCEEDED when the call's deadline is already past."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        raise ApiError(
            grpc.StatusCode.DEADLINE_EXCEEDED,
            "DEADLINE_PASSED",
            "the deadline passed before the request was admitted",
            stage="admission",
        )
