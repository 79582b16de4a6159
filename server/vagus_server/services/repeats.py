"""How often a form has its parts repeated, before anything is compiled from it.

A grammar's compiler writes repeats out: `(.{1,50}){1,50}` is thirteen characters and 2500 copies
of a part, on which it can spend seconds. The scan knows no dialect of regular expressions well.
Where it is in doubt it counts too much.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

#: Stands for all numbers that are too large whatever they are.
_MANY = 10**6
_BRACES = re.compile(r"\{ *([0-9]*) *(?:(,) *([0-9]*) *)?\}")
_CLASS = re.compile(r"\[\^?(?:\\.|[^\]\\])*\]?", re.DOTALL)


def pattern_repeats(pattern: str) -> int:
    """How often a part of a regular expression is written out at most; 1 where none repeats.

    Repeats within repeats multiply. `*`, `+` and `?` do not count: they are loops.
    """
    # The most often repeated part of each group that is open, and of what stands before `at`.
    groups, last, at = [1], 1, 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            last, at = 1, at + 2
        elif character == "[":
            found = _CLASS.match(pattern, at)
            assert found is not None, "it matches any ["
            last, at = 1, found.end()
        elif character == "(":
            groups.append(1)
            last, at = 1, at + 1
        elif character == ")":
            # One that closes nothing is not valid; what was found before it counts on.
            last = groups.pop() if len(groups) > 1 else groups[0]
            at += 1
        elif character == "{" and (braces := _BRACES.match(pattern, at)):
            last, at = min(last * _most(braces), _MANY), braces.end()
        else:
            last, at = (last, at + 1) if character in "*+?" else (1, at + 1)
        groups[-1] = max(groups[-1], last)
    return max(groups)


def _most(braces: re.Match[str]) -> int:
    """The greater of the numbers in {n}, {n,}, {,m} or {n,m}, and 1 at least."""
    return max([1, *(_number(text) for text in braces.group(1, 3) if text)])


def _number(text: str) -> int:
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) < 7 else _MANY


def schema_repeats(schema: str) -> tuple[int, str]:
    """The same of a JSON schema, with the keyword that it is about; (1, "") where none repeats.

    Patterns count, at any depth. Sizes of strings, arrays and objects do not: vLLM's compiler keeps
    these as counters, so that a billion costs what a thousand does.
    """
    most, where = 1, ""
    for keyword, value in _members(schema):
        repeats = 1
        if keyword == "pattern" and isinstance(value, str):
            repeats = pattern_repeats(value)
        elif keyword == "patternProperties" and isinstance(value, list):
            repeats = max((pattern_repeats(name) for name, _ in value), default=1)
        if repeats > most:
            most, where = repeats, keyword
    return most, where


class _Members(list[tuple[str, Any]]):
    """An object's members, also those whose key comes twice."""


def _members(schema: str) -> Iterator[tuple[str, Any]]:
    """All members of all objects; none where it is not JSON, which is refused elsewhere."""
    try:
        left = [
            json.loads(
                schema,
                object_pairs_hook=_Members,
                parse_int=float,  # of any length
                parse_constant=str,  # NaN and infinities are not JSON
            )
        ]
    except (ValueError, RecursionError):
        return
    while left:
        value = left.pop()
        if isinstance(value, _Members):
            yield from value
            left += [inner for _, inner in value]
        elif isinstance(value, list):
            left += value
