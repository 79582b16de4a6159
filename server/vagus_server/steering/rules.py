"""Resolves the scope rules of a request to ranges of positions."""

from vagus.v1 import prompt_pb2, steering_pb2
from vagus_server.errors import check_count, invalid
from vagus_server.plugin.wire import NO_END, Range
from vagus_server.steering.scope import PromptMap, from_end, joined, without

#: Most rules of an include or except list. Each pass looks at the ranges that they make.
MAX_RULES = 64
_ROLES = (
    prompt_pb2.ROLE_SYSTEM,
    prompt_pb2.ROLE_USER,
    prompt_pb2.ROLE_ASSISTANT,
    prompt_pb2.ROLE_TOOL,
)


def resolve_scope(
    message: steering_pb2.Scope, prompt: PromptMap, field: str
) -> tuple[tuple[Range, ...], str]:
    """Returns the ranges and the rules' canonical text, or raises ApiError."""
    excepted = getattr(message, "except")
    for name, rules in (("include", message.include), ("except", excepted)):
        check_count(len(rules), MAX_RULES, f"{field}.{name}")
    include = [
        r
        for i, rule in enumerate(message.include)
        for r in _rule(rule, prompt, f"{field}.include[{i}]")
    ]
    if not message.include:
        include = [(0, NO_END)]
    holes = [
        r for i, rule in enumerate(excepted) for r in _rule(rule, prompt, f"{field}.except[{i}]")
    ]
    texts = [
        sorted(rule.SerializeToString(deterministic=True).hex() for rule in rules)
        for rules in (message.include, excepted)
    ]
    return tuple(without(include, holes)), "|".join(",".join(text) for text in texts)


def _rule(rule: steering_pb2.ScopeRule, prompt: PromptMap, field: str) -> list[Range]:
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
    spans = prompt.spans()
    if spans is None or not prompt.characters:
        invalid(field, "names characters, and the prompt is not a text that the server tokenises")
    start, end = _bounds(message)
    _check_not_negative(start, end, field)
    _check_order(start, end, field)
    length = max((b for _, b in spans), default=0)
    if (start or 0) > length or (end or 0) > length:
        invalid(
            field,
            f"reaches beyond the text's {length} characters",
            value=end or start,
            limit=length,
        )
    return joined(prompt.covering(start or 0, length if end is None else end))


def _role(role: int, prompt: PromptMap, field: str) -> list[Range]:
    if role not in _ROLES:
        invalid(field, "must be SYSTEM, USER, ASSISTANT or TOOL", value=role)
    turns = prompt.turns()
    if turns is None:
        invalid(
            field, "names a speaker, and the prompt is not a chat whose turns can be told apart"
        )
    spoken = [
        r for speaker, start, end in turns if speaker == role for r in prompt.covering(start, end)
    ]
    if role == prompt_pb2.ROLE_ASSISTANT:
        spoken.append((prompt.tokens, NO_END))
    return joined(spoken)
