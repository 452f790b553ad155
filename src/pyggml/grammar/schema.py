"""JSON schemas, as llguidance is to read them."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from math import isfinite, prod
from typing import Any, TypeAlias

from pyggml.errors import GrammarError

Schema: TypeAlias = Mapping[str, Any] | bool

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
#: What llama.cpp allows between the tokens of JSON: a model must not write blanks for ever.
_WHITESPACE = r" |\n{1,2}[ \t]{0,20}"
_MOST_NESTED, _MOST_REFERENCES = 64, 500
#: Remainders to be told apart by all `multipleOf` together: llguidance's time and memory grow with them.
_MOST_REMAINDERS = 10_000
_MERGING = frozenset({"allOf", "anyOf", "oneOf", "$ref"})
_NAMED_SCHEMAS = frozenset({"properties", "patternProperties", "$defs", "definitions"})
_LISTED_SCHEMAS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_SINGLE_SCHEMAS = frozenset({"items", "additionalProperties", "additionalItems"})


def json_grammar(schema: Schema) -> str:
    """The schema for llguidance, as text. Raises GrammarError if it is too large.

    Where it lists properties and says nothing of others, there are none, as llama.cpp and OpenAI's strict mode have
    it; unless parts of it are merged, as there each part would shut out the others.
    """
    _check(schema, 0, set())
    _check_multiples(schema)
    if isinstance(schema, bool):
        schema = {} if schema else {"not": {}}
    is_merged = any(_merges(part) for part in _parts(schema))
    options = {"whitespace_flexible": True, "whitespace_pattern": _WHITESPACE}
    return json.dumps({**(schema if is_merged else _closed(schema)), "x-guidance": options})


def _check(value: Any, depth: int, references: set[str]) -> None:
    """Keep llguidance from recursing until its stack is full."""
    if depth > _MOST_NESTED:
        raise GrammarError(f"the JSON schema has more than {_MOST_NESTED} levels inside each other")
    if isinstance(value, Mapping):
        if isinstance(reference := value.get("$ref"), str):
            references.add(reference)
        if len(references) > _MOST_REFERENCES:
            raise GrammarError(f"the JSON schema refers to more than {_MOST_REFERENCES} definitions")
    children = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for child in children:
        _check(child, depth + 1, references)


def _check_multiples(schema: Schema) -> None:
    """Refuse numbers whose multiples take too long to be recognized."""
    found = {part["multipleOf"] for part in _parts(schema) if _is_number(part.get("multipleOf"))}
    digits = (Decimal(str(number)).normalize().as_tuple().digits for number in found)
    if prod(int("".join(map(str, each))) for each in digits) > _MOST_REMAINDERS:
        raise GrammarError(
            f"the JSON schema: multipleOf {', '.join(map(str, sorted(found)))} cannot be enforced;"
            f" without zeros at the end, the product of all is {_MOST_REMAINDERS:,} at most"
        )


def _is_number(value: Any) -> bool:
    return type(value) is int or (type(value) is float and isfinite(value))


def _children(schema: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The schemas inside a schema, each with the keyword that it belongs to."""
    for key, value in schema.items():
        if key in _SINGLE_SCHEMAS and isinstance(value, Mapping):
            yield key, value
        elif key in _NAMED_SCHEMAS and isinstance(value, Mapping):
            yield from ((key, each) for each in value.values())
        elif key in _LISTED_SCHEMAS | {"items"} and isinstance(value, list):
            yield from ((key, each) for each in value)


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A schema and all inside it."""
    if isinstance(schema, Mapping):
        yield schema
        for _, child in _children(schema):
            yield from _parts(child)


def _merges(schema: Mapping[str, Any]) -> bool:
    """Whether several schemas describe the properties of one object."""
    return "allOf" in schema or ("properties" in schema and bool(_MERGING & schema.keys()))


def _closed(schema: Any) -> Any:
    """A copy in which objects have only the properties that are listed."""
    if not isinstance(schema, Mapping):
        return schema
    closed: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SINGLE_SCHEMAS:
            closed[key] = _closed(value) if isinstance(value, Mapping) else value
        if key in _NAMED_SCHEMAS and isinstance(value, Mapping):
            closed[key] = {name: _closed(each) for name, each in value.items()}
        elif key in _LISTED_SCHEMAS | {"items"} and isinstance(value, list):
            closed[key] = [_closed(each) for each in value]
        else:
            closed.setdefault(key, value)
    if "properties" in schema and not {"additionalProperties", "patternProperties"} & schema.keys():
        closed["additionalProperties"] = False
    return closed
