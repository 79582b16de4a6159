"""The steering language, slow and obvious: one token after the other, in float64.

Written from the words of steering.proto alone; nothing here is the server's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vagus.v1 import prompt_pb2, steering_pb2


@dataclass(frozen=True)
class Concepts:
    """A pack's arrays: vectors [K, sites, hidden], norms [sites], mean and deviation [K, sites]."""

    index: dict[str, int]
    vectors: np.ndarray
    norms: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    steering_site: int

    def unit(self, concept: str, site: int) -> np.ndarray:
        v = self.vectors[self.index[concept], site]
        return v / np.linalg.norm(v)

    def scale(self, concept: str, site: int, unit: int) -> float:
        """What a strength of 1 means."""
        if unit == steering_pb2.STRENGTH_UNIT_RESIDUAL:
            return float(self.norms[site])
        if unit == steering_pb2.STRENGTH_UNIT_VECTOR:
            return float(np.linalg.norm(self.vectors[self.index[concept], site]))
        return 1.0


@dataclass
class SlowProgram:
    """A program on one prompt.

    Args:
        message: as the client sends it.
        concepts: of the pack.
        prompt_tokens: length of the prompt.
        spans: characters of each prompt token, for scopes that name them.
        turns: (role, first character, end) of a chat's contents.
    """

    message: steering_pb2.Program
    concepts: Concepts
    prompt_tokens: int
    spans: Sequence[tuple[int, int]] = ()
    turns: Sequence[tuple[int, int, int]] = ()
    #: Where envelopes begin; by default with the generation.
    origin: int | None = None
    #: (operation, site) -> positions on which it acted, and how far it moved each.
    acted: dict[tuple[int, int], dict[int, float]] = field(default_factory=dict)
    #: How close any gate came to its bounds, as a share of the row's norm.
    margin: float = float("inf")
    _gates: dict[tuple[int, int], bool] = field(default_factory=dict)

    def sites_of(self, operation: steering_pb2.Operation) -> list[int]:
        return sorted(operation.sites) or [self.concepts.steering_site]

    @property
    def sites(self) -> set[int]:
        """Where anything happens."""
        acting = {s for o in self.message.operations for s in self.sites_of(o)}
        tested = {o.gate.site for o in self.message.operations if o.HasField("gate")}
        return acting | tested

    def restart(self) -> None:
        """Before another pass over the text."""
        self.acted, self._gates, self.margin = {}, {}, float("inf")

    def apply(self, site: int, x: np.ndarray) -> np.ndarray:
        """The stream [tokens, hidden] after the operations at a site."""
        x = x.astype(np.float64)
        for position in range(len(x)):
            for p, operation in enumerate(self.message.operations):
                gate = operation.gate
                if gate.HasField("site") and gate.site == site:
                    self._gates[p, position] = self._holds(gate, site, x[position])
            for p, operation in enumerate(self.message.operations):
                if site in self.sites_of(operation) and self.in_scope(operation, position):
                    self._act(p, operation, site, position, x)
        return x

    def _act(
        self, p: int, operation: steering_pb2.Operation, site: int, position: int, x: np.ndarray
    ) -> None:
        if operation.HasField("gate"):
            stored = operation.gate.HasField("site")
            holds = (
                self._gates[p, position]
                if stored
                else self._holds(operation.gate, site, x[position])
            )
            if not holds:
                return
        u = self.concepts.unit(operation.concept, site)
        step = self._step(operation, site, float(x[position] @ u))
        step *= self.factor(operation.envelope, position)
        x[position] += step * u
        self.acted.setdefault((p, site), {})[position] = step

    def _step(self, operation: steering_pb2.Operation, site: int, along: float) -> float:
        action = operation.WhichOneof("action")
        if action == "ablate":
            share = operation.ablate.share if operation.ablate.HasField("share") else 1.0
            return -share * along
        message = getattr(operation, str(action))
        scale = self.concepts.scale(operation.concept, site, message.unit)
        if action == "add":
            return float(message.strength) * scale
        if action == "set":
            return float(message.value) * scale - along
        target = along
        if message.HasField("lower"):
            target = max(target, message.lower * scale)
        if message.HasField("upper"):
            target = min(target, message.upper * scale)
        return target - along

    def _holds(self, gate: steering_pb2.Gate, site: int, x: np.ndarray) -> bool:
        value = float(x @ self.concepts.unit(gate.concept, site))
        i = self.concepts.index[gate.concept]
        holds = True
        for name, sign in (("at_least", 1), ("at_most", -1)):
            if gate.HasField(name):
                bound = float(getattr(gate, name))
                if gate.z_score:
                    bound = self.concepts.mean[i, site] + bound * self.concepts.deviation[i, site]
                self.margin = min(self.margin, abs(value - bound) / float(np.linalg.norm(x)))
                holds = holds and sign * (value - bound) >= 0
        return holds

    def factor(self, envelope: steering_pb2.Envelope, position: int) -> float:
        n = max(0, position - (self.prompt_tokens if self.origin is None else self.origin))
        factor = 1.0
        if envelope.HasField("ramp_tokens"):
            factor *= min(1.0, (n + 1) / envelope.ramp_tokens)
        if envelope.HasField("half_life_tokens"):
            factor *= 0.5 ** (n / envelope.half_life_tokens)
        return factor

    def in_scope(self, operation: steering_pb2.Operation, position: int) -> bool:
        scope = operation.scope
        named = not scope.include or any(self._named(r, position) for r in scope.include)
        return named and not any(self._named(r, position) for r in getattr(scope, "except"))

    def _named(self, rule: steering_pb2.ScopeRule, position: int) -> bool:
        kind, n = rule.WhichOneof("rule"), self.prompt_tokens
        if kind == "phase":
            if rule.phase == steering_pb2.PHASE_ALL:
                return True
            return (position < n) == (rule.phase == steering_pb2.PHASE_PROMPT)
        if kind == "positions":
            return _inside(position, rule.positions, n)
        if kind == "generated":
            return position >= n and _inside(position - n, rule.generated, 0)
        if kind == "last_prompt_token":
            return position == n - 1
        if kind == "role" and rule.role == prompt_pb2.ROLE_ASSISTANT and position >= n:
            return True
        if position >= n or not self.spans:
            return False
        a, b = self.spans[position]
        if kind == "characters":
            return any(_inside(c, rule.characters, 0) for c in range(a, b))
        return any(
            role == rule.role and start <= c < end
            for role, start, end in self.turns
            for c in range(a, b)
        )


def _inside(position: int, bounds: steering_pb2.Range, origin: int) -> bool:
    """Whether a position is in a range whose negative bounds count from `origin`."""
    low = bounds.start + origin * (bounds.start < 0) if bounds.HasField("start") else 0
    high = bounds.end + origin * (bounds.end < 0) if bounds.HasField("end") else 1 << 40
    return low <= position < high


@dataclass
class SlowCourse:
    """Programs of one request with the positions from which on each holds, the first from 0."""

    parts: list[tuple[int, SlowProgram]]

    @property
    def sites(self) -> set[int]:
        """Where anything happens."""
        return {site for _, program in self.parts for site in program.sites}

    @property
    def margin(self) -> float:
        """How close any gate came to its bounds."""
        return min(program.margin for _, program in self.parts)

    def restart(self) -> None:
        """Before another pass over the text."""
        for _, program in self.parts:
            program.restart()

    def apply(self, site: int, x: np.ndarray) -> np.ndarray:
        """The stream after the operations at a site: each position's of its own program."""
        result = x.astype(np.float64)
        for start, program in self.parts:
            if site in program.sites:
                result[start:] = program.apply(site, x)[start:]
            else:
                result[start:] = x[start:]
        return result
