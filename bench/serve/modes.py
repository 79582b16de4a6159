"""What is compared with stock vLLM."""

from dataclasses import dataclass
from typing import Literal


class BenchmarkError(RuntimeError):
    """The benchmark cannot report: something is wrong with what it measured."""


@dataclass(frozen=True)
class Mode:
    """One way of using Vagus.

    Args:
        name: as it appears in the results.
        path: "engine" drives the engine in its own process, "server" goes through gRPC.
        programs: no steering, one program for all requests, or one for each.
        policies: 16 policies watch each request, and begin to act at its first token: they tell
            of it, or half of them steer as well. On the engine's path alone.
        read: return readouts with every token.
        monitor: accumulate each turn's mean readout. The server always does.
    """

    name: str
    path: Literal["engine", "server"]
    programs: Literal["none", "shared", "distinct"] = "none"
    policies: Literal["none", "tell", "steer"] = "none"
    read: bool = False
    monitor: bool = True

    @property
    def steers(self) -> bool:
        """Whether the text may differ from the stock engine's."""
        return self.programs != "none" or self.policies == "steer"

    def strength(self, index: int, base: float) -> float | None:
        """Strength for the request of this index in its batch; None steers nothing."""
        if self.programs == "none":
            return None
        # A ten-thousandth of a mean residual norm tells two programs apart.
        return base + (1e-4 * index if self.programs == "distinct" else 0.0)


MODES = (
    Mode("engine-idle-unmonitored", "engine", monitor=False),
    Mode("engine-idle", "engine"),
    Mode("engine-steered", "engine", "shared"),
    Mode("engine-steered-distinct", "engine", "distinct"),
    Mode("engine-steered-read", "engine", "shared", read=True),
    Mode("engine-policies-tell", "engine", policies="tell"),
    Mode("engine-policies-steer", "engine", policies="steer"),
    Mode("server-idle", "server"),
    Mode("server-steered-distinct", "server", "distinct"),
    Mode("server-steered-read", "server", "shared", read=True),
)
#: A second stock engine in Vagus's place: what machine and order of starting do by themselves.
CONTROL = Mode("stock-again", "engine")
MODE_OF = {mode.name: mode for mode in (*MODES, CONTROL)}


@dataclass(frozen=True)
class Work:
    """The requests of one round, which all start together.

    Args:
        prompts: token ids, one list for each request.
        tokens: number of tokens that each generates, whatever they are.
        concept: concept that steered modes add.
        strength: its strength, in mean residual norms of the pack's steering site.
        readouts: concepts whose readouts the server streams, in modes that read.
    """

    prompts: tuple[tuple[int, ...], ...]
    tokens: int
    concept: str = ""
    strength: float = 0.0
    readouts: tuple[str, ...] = ()

    @property
    def sampling(self) -> dict[str, float | int | bool]:
        """Greedy, and always to the full length, so that all sides generate equally much."""
        return {"temperature": 0.0, "max_tokens": self.tokens, "ignore_eos": True}
