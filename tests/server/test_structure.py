"""Forms: what would take the compiler of grammars long is refused before it hears of it."""

import json

import pytest

from vagus.v1.sampling_pb2 import Choices, Structure
from vagus_server.errors import ApiError
from vagus_server.services.repeats import pattern_repeats, schema_repeats
from vagus_server.services.structure import checked_form


@pytest.mark.parametrize(
    ("pattern", "repeats"),
    [
        ("calm", 1),
        ("(calm|happy)*[a-z]+x?", 1),
        ("a{3}", 3),
        ("a{3,}", 3),
        ("a{,5}", 5),
        ("a{ 2, 7 }", 7),
        ("a{2}{3}", 6),
        ("(.{1,50}){1,50}x", 2500),
        ("((a{2}){3}b){4,}c{5}", 24),
        ("(a{2}|b{7}){2}", 14),
        ("(?:a{2,3})*{2}", 6),
        (r"\({9}", 9),
        (r"\{9}", 1),
        ("{}{,}{x}", 1),
        ("[({9}]{2}", 2),
        # Whether this closes the class or not: what is behind it counts.
        ("[](a{4}){5}]", 20),
        (r"[\](a{4}){5}]", 1),
        ("(a{4}", 4),
        ("a{4})b", 4),
        ("a{0}", 1),
        ("a{" + "9" * 4000 + "}", 10**6),
        ("(" * 2000, 1),
        ("\\", 1),
        ("[", 1),
    ],
)
def test_repeats_within_repeats_multiply(pattern: str, repeats: int) -> None:
    assert pattern_repeats(pattern) == repeats


DEEP = {"type": "object", "properties": {"a": {"anyOf": [{"type": "string", "pattern": "b{7}"}]}}}


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ({"type": "string"}, (1, "")),
        (DEEP, (7, "pattern")),
        ({"type": "string", "minLength": 3, "maxLength": 80_000}, (1, "")),
        ({"type": "array", "minItems": 9, "items": DEEP}, (7, "pattern")),
        ({"patternProperties": {"(a{3}){2}": {"type": "null"}}}, (6, "patternProperties")),
        ({"properties": {"pattern": {"type": "string"}, "maxLength": {"const": 3}}}, (1, "")),
    ],
)
def test_patterns_of_a_schema_at_any_depth(schema: object, found: tuple[int, str]) -> None:
    assert schema_repeats(json.dumps(schema)) == found


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        ('{"pattern": "a{9}", "pattern": "b"}', (9, "pattern")),
        (f'{{"maxLength": {"9" * 5000}, "pattern": "a{{9}}"}}', (9, "pattern")),
        ('{"maxLength": NaN, "pattern": "a{9}"}', (9, "pattern")),
        ('{"pattern": "a{9}"', (1, "")),
        ("[" * 20_000, (1, "")),
    ],
)
def test_odd_schemas(schema: str, found: tuple[int, str]) -> None:
    assert schema_repeats(schema) == found


@pytest.mark.parametrize(
    ("structure", "field", "value"),
    [
        (Structure(regex="(.{1,50}){1,50}x"), "regex", "2500"),
        (Structure(json_schema='{"pattern": "(.{1,40}){1,40}"}'), "json_schema", "1600"),
    ],
)
def test_a_form_that_writes_out_too_much_is_refused(
    structure: Structure, field: str, value: str
) -> None:
    with pytest.raises(ApiError) as caught:
        checked_form(structure, "structure")
    assert caught.value.reason == "FIELD_INVALID"
    assert caught.value.metadata == {
        "field": f"structure.{field}",
        "value": value,
        "limit": "1000",
    }


def test_forms_of_a_usual_size_go_on() -> None:
    assert checked_form(Structure(regex="[a-z]{1,1000}"), "s") == ("regex", "[a-z]{1,1000}")
    texts = ["a"] * 256
    assert checked_form(Structure(choices=Choices(texts=texts)), "s") == ("choices", texts)
    with pytest.raises(ApiError) as caught:
        checked_form(Structure(choices=Choices(texts=[*texts, ""])), "s")
    assert caught.value.metadata["field"] == "s.choices.texts"
