"""What the engine is asked, and what it answers."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from vagus_server.concepts.vectors import Vectors
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.policies.policy import Policy
from vagus_server.steering.program import Program


@dataclass(frozen=True)
class EngineRequest:
    """One request, fully resolved.

    Args:
        request_id: unique among running requests.
        token_ids: the prompt.
        sampling: keyword arguments of vLLM's SamplingParams.
        program: how it is steered.
        read: positions whose rows are returned.
        tenant: separates the prefix cache.
        monitor: accumulate the turn's mean readout; policies need it.
        adapter: name of a LoRA adapter; empty for none.
        rank: of the data-parallel engines; None leaves the choice to vLLM.
        policies: that watch it.
    """

    request_id: str
    token_ids: list[int]
    sampling: dict[str, Any]
    program: Program = field(default_factory=Program)
    read: tuple[Range, ...] = ()
    tenant: str = ""
    monitor: bool = True
    adapter: str = ""
    rank: int | None = None
    policies: tuple[Policy, ...] = ()

    @property
    def most_tokens(self) -> int:
        """Tokens of the prompt, and that can be generated."""
        return len(self.token_ids) + int(self.sampling["max_tokens"])

    @property
    def reads_prompt(self) -> bool:
        """Whether prompt tokens are read, which cached ones cannot be: they are not computed."""
        return any(start < len(self.token_ids) - 1 for start, _ in self.read)

    @property
    def rows(self) -> tuple[Range, ...]:
        """Positions that the device reads: those asked for, and the turn's."""
        turn = ((len(self.token_ids) - 1, NO_END),) if self.monitor else ()
        return (*self.read, *turn)

    @property
    def contents(self) -> list[Vectors]:
        """The vectors that it needs on the device from the start."""
        programs = [self.program, *(policy.program for policy in self.policies)]
        return [vectors for program in programs for vectors in program.contents.values()]


class Times(NamedTuple):
    """When the engine had a request, in seconds of the machine's monotonic clock."""

    queued: float
    #: Its first forward pass, or the first after the last preemption.
    scheduled: float
    first_token: float
    last_token: float


@dataclass(frozen=True)
class EngineOutput:
    """What arose since the last output. finish_reason is set on the last one."""

    text: str
    token_ids: list[int]
    logprobs: list[Any] | None
    finish_reason: str | None
    stop_reason: int | str | None
    cached_tokens: int
    #: One entry per prompt token, as vLLM gives them; empty unless they were asked for.
    prompt_logprobs: list[Any] = field(default_factory=list)
    times: Times | None = None


#: EngineOutput.finish_reason of a request that a policy ended.
STOPPED_BY_POLICY = "policy"
