"""Reads rows of texts that users supply, one at a time, and says of a bad one what is wrong.

    {"concept": str, "text": str, "topic"?: str}                  a story
    {"concept": str, "side": "positive" | "negative", "text": str}   one side of a contrast
    {"text": str, "kind"?: str, "topic"?: str}                    a neutral text

A row is one line of JSON in UTF-8. No more than one line, and never more than MAX_ROW_BYTES of
it, is in memory.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from vagus_server.packs.names import is_concept_name

MAX_ROW_BYTES = 1 << 20
MAX_TEXT_CHARACTERS = 50_000
MAX_TOPIC_CHARACTERS = 200


class Reason(StrEnum):
    """What can be wrong with a row, or with all rows of a concept."""

    ROW_TOO_LONG = "row too long"
    NOT_UTF8 = "not UTF-8"
    NOT_JSON = "not JSON"
    NOT_AN_OBJECT = "not an object"
    MISSING_FIELD = "missing field"
    UNKNOWN_FIELD = "unknown field"
    WRONG_TYPE = "wrong type"
    EMPTY_TEXT = "empty text"
    TEXT_TOO_LONG = "text too long"
    TOO_FEW_TOKENS = "too few tokens"
    TOO_MANY_TOKENS = "too many tokens"
    BAD_CONCEPT_NAME = "bad concept name"
    UNKNOWN_CONCEPT = "unknown concept"
    BAD_SIDE = "bad side"
    BAD_TOPIC = "bad topic"
    DUPLICATE_TEXT = "duplicate text"
    TWO_KINDS = "a concept with both stories and sides"
    TOO_FEW_TEXTS = "too few texts"
    TOO_FEW_TOPICS = "too few topics"


class BadRow(Exception):
    """A row breaks a rule; `detail` is fit to be shown and repeats at most a short excerpt."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class UserCorpusError(ValueError):
    """A corpus cannot be used; the message names file, row and reason.

    Args:
        path: the file.
        row: counted from 1; None where it is not about one row.
        reason: None where no Reason fits.
        detail: what is wrong.
    """

    def __init__(self, path: Path, row: int | None, reason: Reason | None, detail: str) -> None:
        where = path.name if row is None else f"{path.name}:{row}"
        super().__init__(f"{where}: {detail}" if reason is None else f"{where}: {reason}: {detail}")
        self.path, self.row, self.reason, self.detail = path, row, reason, detail


@dataclass(frozen=True)
class Row:
    """A row that follows the schema; an absent field is None."""

    text: str
    #: None in a neutral row.
    concept: str | None = None
    #: "positive" or "negative" in one side of a contrast.
    side: str | None = None
    topic: str | None = None


def read_rows(path: Path, *, neutral: bool = False) -> Iterator[tuple[int, Row | BadRow]]:
    """Yields every row's number, counted from 1, with the row or what is wrong with it.

    Args:
        path: of a regular file.
        neutral: whether the rows are neutral texts.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file), 1):
            try:
                yield number, _parse(line, neutral)
            except BadRow as bad:
                yield number, bad


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends; of a long one the first MAX_ROW_BYTES + 1 bytes."""
    while line := file.readline(MAX_ROW_BYTES + 1):
        rest = line
        while rest and not rest.endswith(b"\n"):
            rest = file.readline(MAX_ROW_BYTES)
        yield line.removesuffix(b"\n")


def _parse(line: bytes, neutral: bool) -> Row:
    if len(line) > MAX_ROW_BYTES:
        raise BadRow(Reason.ROW_TOO_LONG, f"more than {MAX_ROW_BYTES} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadRow(Reason.NOT_UTF8, f"at byte {error.start}") from None
    try:
        fields = json.loads(text, object_pairs_hook=_object)
    except RecursionError:
        raise BadRow(Reason.NOT_JSON, "nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadRow(Reason.NOT_JSON, f"{error.msg} at character {error.pos + 1}") from None
    except ValueError:  # a number of more digits than Python converts
        raise BadRow(Reason.NOT_JSON, "a number is too long") from None
    if not isinstance(fields, dict):
        raise BadRow(Reason.NOT_AN_OBJECT, type(fields).__name__)
    return _neutral(fields) if neutral else _labelled(fields)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadRow(Reason.NOT_JSON, "a field is given twice")
    return fields


def _neutral(fields: dict[str, Any]) -> Row:
    _check_fields(fields, required=["text"], optional=["kind", "topic"])
    return Row(_text(fields["text"]))


def _labelled(fields: dict[str, Any]) -> Row:
    if "side" in fields:
        _check_fields(fields, required=["concept", "side", "text"], optional=[])
    else:
        _check_fields(fields, required=["concept", "text"], optional=["topic"])
    concept, topic, side = fields["concept"], fields.get("topic"), fields.get("side")
    if not is_concept_name(concept):
        raise BadRow(Reason.BAD_CONCEPT_NAME, repr(concept[:80]))
    if side is not None and side not in ("positive", "negative"):
        raise BadRow(Reason.BAD_SIDE, f"{side[:80]!r} is neither 'positive' nor 'negative'")
    if topic is not None and not (topic.strip() and len(topic) <= MAX_TOPIC_CHARACTERS):
        raise BadRow(Reason.BAD_TOPIC, f"has to be of 1 to {MAX_TOPIC_CHARACTERS} characters")
    return Row(_text(fields["text"]), concept, side, topic)


def _check_fields(fields: dict[str, Any], required: list[str], optional: list[str]) -> None:
    for name in required:
        if name not in fields:
            raise BadRow(Reason.MISSING_FIELD, name)
    for name, value in fields.items():
        if name not in required + optional:
            raise BadRow(Reason.UNKNOWN_FIELD, repr(name[:80]))
        if not isinstance(value, str):
            raise BadRow(Reason.WRONG_TYPE, f"{name} is {type(value).__name__}, not a string")
        if not _is_unicode(value):
            raise BadRow(Reason.NOT_UTF8, f"{name} has half of a surrogate pair")


def _is_unicode(value: str) -> bool:
    # JSON can escape half of a pair, which is no character and has no encoding.
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _text(text: str) -> str:
    if not text.strip():
        raise BadRow(Reason.EMPTY_TEXT, "nothing but white space")
    if len(text) > MAX_TEXT_CHARACTERS:
        raise BadRow(Reason.TEXT_TOO_LONG, f"more than {MAX_TEXT_CHARACTERS} characters")
    return text
