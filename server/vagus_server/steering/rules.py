"""Resolves the scope rules of a request to ranges of positions."""

from collections.abc import Sequence
from dataclasses import dataclass

from vagus.v1 import prompt_pb2, steering_pb2
from vagus_server.errors import check_count, invalid
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.scope import PromptMap, from_end, without

#: Most rules of an include or except list. Each pass looks at the ranges that they make.
MAX_RULES = 64
#: Most ranges that all rules of a program name together. A role has one per message: there is
#: room for eight operations on one side of a conversation of a thousand messages.
MAX_RANGES = 4096
_ROLES = (
    prompt_pb2.ROLE_SYSTEM,
    prompt_pb2.ROLE_USER,
    prompt_pb2.ROLE_ASSISTANT,
    prompt_pb2.ROLE_TOOL,
)


@dataclass
class Room:
    """How many ranges the rules of a program may still name."""

    left: int = MAX_RANGES

    def take(self, ranges: Sequence[Range], field: str) -> Sequence[Range]:
        """Returns the ranges, or raises ApiError where they are too many."""
        self.left -= len(ranges)
        if self.left < 0:
            invalid(
                field,
                f"and the rules before it name {MAX_RANGES - self.left} ranges of tokens; "
                f"a program may name {MAX_RANGES}",
                value=MAX_RANGES - self.left,
                limit=MAX_RANGES,
            )
        return ranges


def resolve_scope(
    message: steering_pb2.Scope, prompt: PromptMap, field: str, room: Room | None = None
) -> tuple[tuple[Range, ...], str]:
    """Returns the ranges and the rules' canonical text, or raises ApiError.

    Args:
        message: the rules.
        prompt: what they are about.
        field: path of the scope in the request.
        room: of the program, which the ranges take; None has room for one scope.
    """
    room = Room() if room is None else room
    ranges, texts = [], []
    for name in ("include", "except"):
        rules = getattr(message, name)
        check_count(len(rules), MAX_RULES, f"{field}.{name}")
        found: dict[str, Sequence[Range]] = {}
        for i, rule in enumerate(rules):
            text = rule.SerializeToString(deterministic=True).hex()
            if text not in found:
                path = f"{field}.{name}[{i}]"
                found[text] = room.take(_rule(rule, prompt, path), path)
        ranges.append([r for some in found.values() for r in some])
        texts.append(",".join(sorted(found)))
    include, holes = ranges
    if not message.include:
        include = [(0, NO_END)]
    return tuple(without(include, holes)), "|".join(texts)


def _rule(rule: steering_pb2.ScopeRule, prompt: PromptMap, field: str) -> Sequence[Range]:
    kind = rule.WhichOneof("rule")
    tokens = prompt.tokens
    if kind == "phase":
        return [_phase(rule.phase, tokens, f"{field}.phase")]
    if kind == "positions":
        start, end = _bounds(rule.positions)
        resolved = from_end(start, tokens, 0), from_end(end, tokens, NO_END)
        _check_order(start, end, f"{field}.positions")
        return [resolved]
    if kind == "characters":
        return _characters(rule.characters, prompt, f"{field}.characters")
    if kind == "role":
        return _role(rule.role, prompt, f"{field}.role")
    if kind == "generated":
        start, end = _bounds(rule.generated)
        _check_not_negative(start, end, f"{field}.generated")
        _check_order(start, end, f"{field}.generated")
        last = NO_END if end is None else tokens + end
        return [(min(tokens + (start or 0), NO_END), min(last, NO_END))]
    if kind == "last_prompt_token":
        if not rule.last_prompt_token:
            invalid(f"{field}.last_prompt_token", "must be true when it is set")
        return [(tokens - 1, tokens)]
    invalid(f"{field}.rule", "must be set")


def _bounds(message: steering_pb2.Range) -> tuple[int | None, int | None]:
    start = message.start if message.HasField("start") else None
    end = message.end if message.HasField("end") else None
    return start, end


def _check_order(start: int | None, end: int | None, field: str) -> None:
    """Refuses ranges that are empty whatever the prompt."""
    if start is not None and end is not None and (start < 0) == (end < 0) and start >= end:
        invalid(
            field, f"is empty: it starts at {start} and ends before {end}", value=start, limit=end
        )


def _check_not_negative(start: int | None, end: int | None, field: str) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is not None and value < 0:
            invalid(f"{field}.{name}", "must not be negative", value=value, limit=0)


def _phase(phase: int, tokens: int, field: str) -> Range:
    if phase == steering_pb2.PHASE_PROMPT:
        return (0, tokens)
    if phase == steering_pb2.PHASE_GENERATION:
        return (tokens, NO_END)
    if phase == steering_pb2.PHASE_ALL:
        return (0, NO_END)
    invalid(field, "must be PROMPT, GENERATION or ALL", value=phase)


def _characters(message: steering_pb2.Range, prompt: PromptMap, field: str) -> list[Range]:
    length = prompt.length if prompt.characters else None
    if length is None:
        invalid(field, "names characters, and the prompt is not a text that the server tokenises")
    start, end = _bounds(message)
    _check_not_negative(start, end, field)
    _check_order(start, end, field)
    if (start or 0) > length or (end or 0) > length:
        invalid(
            field,
            f"reaches beyond the text's {length} characters",
            value=end or start,
            limit=length,
        )
    return prompt.covering(start or 0, length if end is None else end)


def _role(role: int, prompt: PromptMap, field: str) -> Sequence[Range]:
    if role not in _ROLES:
        invalid(field, "must be SYSTEM, USER, ASSISTANT or TOOL", value=role)
    spoken = prompt.spoken(role)
    if spoken is None:
        invalid(
            field, "names a speaker, and the prompt is not a chat whose turns can be told apart"
        )
    if role == prompt_pb2.ROLE_ASSISTANT:
        return [*spoken, (prompt.tokens, NO_END)]
    return spoken
