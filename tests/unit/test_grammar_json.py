"""JSON schemas: what they allow, what is refused, and blanks between."""

import json
from typing import Any

import pytest

from pyggml.errors import GrammarError
from pyggml.grammar import ANY_OBJECT
from pyggml.grammar.schema import Schema
from tests.unit.following import demo_grammars, follows

NAMED = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
LINKED = {
    "type": "object",
    "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "tag": {"$ref": "#/$defs/tag"}},
    "required": ["next"],
    "$defs": {"tag": {"type": "object", "properties": {"x": {"type": "integer", "minimum": 3}}}},
}


@pytest.mark.parametrize(
    ("schema", "yes", "no"),
    [
        (ANY_OBJECT, ["{}", '{"a": [1, {"b": null}]}'], ["[]", "1", "{"]),
        (True, ["1", '"a"', "[{}]"], ["a"]),
        ({}, ["1", "{}"], [""]),
        (NAMED, ['{"a": "x"}', '{"a":"x"}', '{\n  "a": "x"\n}'], ["{}", '{"a": 1}', '{"a": "x", "b": 1}']),
        ({**NAMED, "additionalProperties": True}, ['{"a": "x", "b": 1}'], ["{}"]),
        ({**NAMED, "additionalProperties": {"type": "integer"}}, ['{"a": "x", "b": 1}'], ['{"a": "x", "b": "y"}']),
        ({"allOf": [NAMED, {"properties": {"b": {"type": "integer"}}}]}, ['{"a": "x", "b": 1}'], ['{"b": 1}']),
        (LINKED, ['{"next": {"next": null}, "tag": {"x": 3}}'], ['{"next": null, "tag": {"x": 2}}', '{"next": 1}']),
        ({"type": "string", "pattern": "a+"}, ['"bab"'], ['"b"']),
        ({"type": "string", "format": "date"}, ['"2026-11-22"'], ['"2026-13-22"']),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ['"ab"', '"é😀x"'], ['"a"', '"abcd"']),
        ({"type": "array", "items": NAMED, "minItems": 1}, ['[{"a": ""}]'], ["[]", "[1]", '[{"a": "", "b": 1}]']),
        ({"enum": ["a", 1, None]}, ['"a"', "1", "null"], ['"b"', "2"]),
        ({"properties": {"items": {"type": "integer"}}}, ['{"items": 1}'], ['{"items": "a"}']),
    ],
)
def test_schemas(schema: Schema, yes: list[str], no: list[str]) -> None:
    constraint = demo_grammars().json(schema)
    assert [text for text in yes if not follows(constraint, text)] == []
    assert [text for text in no if follows(constraint, text)] == []


def test_blanks_do_not_go_on_for_ever() -> None:
    constraint = demo_grammars().json(NAMED)
    assert not follows(constraint, '{"a":     "x"}')
    assert not follows(constraint, '{\n\n\n\n"a": "x"}')
    assert not follows(constraint, ' {"a": "x"}')


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"not": {"type": "string"}}, 'Unimplemented keys: \\["not"\\]'),
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"properties": {"a": {"if": {}, "then": {}}}}, '"if", "then"'),
        ({"type": "string", "format": "rhyme"}, "Unknown format: rhyme"),
        ({"type": "string", "pattern": "(?=a)"}, "regex parse error"),
        ({"type": "text"}, "Invalid type: text"),
        ({"$ref": "https://example.com/a.json"}, "example.com"),
        ({"$ref": "#/$defs/a"}, "'/\\$defs/a' does not exist"),
        ({"oneOf": [{"type": "string"}, {"maxLength": 3}]}, "oneOf"),
        (False, "Unsatisfiable|Unimplemented"),
        ({"multipleOf": float("nan")}, "json"),
        ({"multipleOf": True}, "multipleOf"),
        ({"type": "string", "minLength": 3, "maxLength": 2}, "Unsatisfiable"),
    ],
)
def test_what_cannot_be_enforced(schema: Schema, message: str) -> None:
    with pytest.raises(GrammarError, match=f"the JSON schema cannot be enforced: .*({message})"):
        demo_grammars().json(schema)


def test_schemas_that_are_too_large() -> None:
    nested: dict[str, Any] = {"type": "integer"}
    for _ in range(70):
        nested = {"type": "array", "items": nested}
    with pytest.raises(GrammarError, match="more than 64 levels"):
        demo_grammars().json(nested)
    chain = {f"d{i}": {"type": "array", "items": {"$ref": f"#/$defs/d{i + 1}"}} for i in range(5000)}
    with pytest.raises(GrammarError, match="more than 500 definitions"):
        demo_grammars().json({"$ref": "#/$defs/d0", "$defs": {**chain, "d5000": {"type": "integer"}}})


@pytest.mark.parametrize("number", [10_000_019, 1e-300 * 7_654_321, 99_991])
def test_multiples_that_would_take_for_ever(number: float) -> None:
    with pytest.raises(GrammarError, match=r"multipleOf .* cannot be enforced; .* 10,000 at most"):
        demo_grammars().json({"properties": {"a": {"type": "number", "multipleOf": number}}})
    with pytest.raises(GrammarError, match="multipleOf 997, 1009 cannot be enforced"):
        demo_grammars().json({"allOf": [{"type": "integer", "multipleOf": 997}, {"multipleOf": 1009}]})
    assert follows(demo_grammars().json({"type": "integer", "multipleOf": 700_000}), "1400000")
    assert not follows(demo_grammars().json({"type": "number", "multipleOf": 0.25}), "0.3")


def test_a_number_may_not_end_the_answer_too_early() -> None:
    constraint = demo_grammars().json({"type": "number"})
    assert follows(constraint, json.dumps(-1.5e300))
    assert not follows(constraint, "-")
