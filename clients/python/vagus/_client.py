"""The client for ordinary, blocking code."""

import time
from collections.abc import Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack, cast

import grpc

from vagus import _calls
from vagus._base import ClientBase
from vagus._concepts import Concepts
from vagus._conversation import Conversation
from vagus._operation import Program
from vagus._outbox import Outbox
from vagus._prompt import PromptLike
from vagus._request import GenerateOptions, generation_spec, read_request
from vagus._result import HealthStatus, Reading, Result
from vagus._selection import ReadoutsLike
from vagus._status import RpcStatus
from vagus._stream import Stream
from vagus._stubs import Stubs
from vagus.v1.concept_service_pb2 import Concept, Pack
from vagus.v1.generation_service_pb2 import ConverseRequest, StreamGenerateRequest
from vagus.v1.model_service_pb2 import Model
from vagus.v1.policy_pb2 import Policy

T = TypeVar("T")


class Client(ClientBase):
    """A connection to a Vagus server. Threads may share it. See `ClientBase` for the options.

    Every call takes `timeout`, the seconds that it may last with its retries, and raises a
    subclass of `VagusError` per gRPC status code.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and cancel what still runs."""
        self._channel.close()

    def generate(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Result:
        """Generate, and return when done.

        Args:
            prompt: Plain text (no chat template), token ids, messages or a `Chat`.
            program: Steering operations, made by `add`, `ablate`, `set_` and `clamp`.
            readouts: Concepts to read at each generated token: names, a number k for the
                strongest k, or `Readouts`. None: none.
            timeout: Seconds, retries included. None: the client's.
            options: Sampling options (see `SamplingOptions`), `model`, `pack`, `request_id`,
                `policies`.

        Raises:
            VagusError: The call failed; its subclasses say how.
            TypeError: An argument is of the wrong type, or unknown.
            ValueError: An argument names something that does not exist.
        """
        spec = generation_spec(prompt, program, readouts, options)
        return self._unary(_calls.generate(spec), timeout)

    def stream(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Stream:
        """Generate, and receive tokens as they arise. Arguments are those of `generate`.

        Use it as `with client.stream(...) as stream`, then iterate over `stream` for events
        or over `stream.text` for text; `stream.result` is all that has arrived. Iterating
        raises the errors of the call.
        """
        spec = generation_spec(prompt, program, readouts, options)
        request = StreamGenerateRequest(spec=spec)

        def start(seconds: float) -> Any:
            method = self._stubs.generation.StreamGenerate
            return method(request, timeout=seconds, metadata=self._metadata)

        return Stream(start, self._attempts(timeout), max(spec.sampling.n, 1))

    def converse(
        self,
        prompt: PromptLike,
        *,
        program: Program | None = None,
        readouts: ReadoutsLike | None = None,
        timeout: float | None = None,
        **options: Unpack[GenerateOptions],
    ) -> Conversation:
        """Generate and stream as `stream` does, with a program that can be changed meanwhile.

        Arguments and use are those of `stream`; see `Conversation.change`. Until the server has
        admitted the request it may be tried again, with the changes made so far; after that it
        is not.
        """
        spec = generation_spec(prompt, program, readouts, options)
        outbox = Outbox(ConverseRequest(start=spec))

        def start(seconds: float) -> Any:
            method = self._stubs.generation.Converse
            return method(iter(outbox), timeout=seconds, metadata=self._metadata)

        return Conversation(start, self._attempts(timeout), program, outbox)

    def read(
        self,
        inputs: PromptLike | Sequence[PromptLike],
        concepts: ReadoutsLike | None = None,
        *,
        program: Program | None = None,
        model: str = "",
        logprobs: bool = False,
        timeout: float | None = None,
    ) -> list[Reading]:
        """Score texts or conversations without generating; returns one reading per input.

        Args:
            inputs: A prompt in any form, or up to 64 of them.
            concepts: Names, a number k for the strongest k, or `Readouts`. None: all.
            program: Steering under which the text is read.
            model: Name of the served model, to be sure, or of one of its LoRA adapters.
            logprobs: Return each token's log-probability given those before it, too.
            timeout: Seconds, retries included. None: the client's.
        """
        request = read_request(inputs, concepts, program, model, logprobs)
        return self._unary(_calls.read_text(request), timeout)

    @cached_property
    def concepts(self) -> Concepts:
        """Called, the concepts of the pack and the tenant's own; `upload` and `delete` those."""
        return Concepts(self._unary)

    def concept(self, name: str, *, vectors: bool = False, timeout: float | None = None) -> Concept:
        """One concept; with `vectors`, its vectors too."""
        return self._unary(_calls.get_concept(name, vectors), timeout)

    def packs(self, *, timeout: float | None = None) -> list[Pack]:
        """The packs that are served."""
        return self._unary(_calls.list_packs(), timeout)

    def pack(self, name: str = "", *, timeout: float | None = None) -> Pack:
        """A pack, by name or digest; by default the served one."""
        return self._unary(_calls.get_pack(name), timeout)

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """The models of this server."""
        return self._unary(_calls.list_models(), timeout)

    def model(self, name: str = "", *, timeout: float | None = None) -> Model:
        """A model and what can be asked of it; by default the served one."""
        return self._unary(_calls.get_model(name), timeout)

    def policies(self, *, timeout: float | None = None) -> list[Policy]:
        """The server's policies, in the order in which they add to programs."""
        return self._unary(_calls.list_policies(), timeout)

    def health(self, service: str = "", *, timeout: float | None = None) -> HealthStatus:
        """What the standard health service says about a service; by default the server."""
        return self._unary(_calls.check_health(service), timeout)

    @cached_property
    def _channel(self) -> grpc.Channel:
        options = self._channel_options
        if self._credentials is None:
            return grpc.insecure_channel(self._target, options)
        return grpc.secure_channel(self._target, self._credentials, options)

    @cached_property
    def _stubs(self) -> Stubs:
        return Stubs(self._channel)

    def _unary(self, call: _calls.Call[T], timeout: float | None) -> T:
        attempts = self._attempts(timeout)
        method = call.method(self._stubs).with_call
        while True:
            try:
                seconds = attempts.remaining()
                response, rpc = method(call.argument, timeout=seconds, metadata=self._metadata)
            except grpc.RpcError as failure:
                delay = attempts.delay_after(cast(RpcStatus, failure))
            else:
                return call.read(response, rpc.trailing_metadata())
            time.sleep(delay)
