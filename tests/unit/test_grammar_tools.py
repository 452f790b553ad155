"""The grammar of answers with tool calls."""

import pytest

from pyggml.errors import GrammarError
from pyggml.grammar.tools import ToolSchema
from tests.unit.following import demo_grammars, follows

CITY = ToolSchema(
    "get_weather",
    {
        "type": "object",
        "properties": {"city": {"$ref": "#/$defs/City"}},
        "required": ["city"],
        "$defs": {"City": {"type": "string"}},
    },
)
ADD = ToolSchema('a "d" d', {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]})
WEATHER_CALL = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome"}}\n</tool_call>'
ADD_CALL = '<tool_call>{"name":"a \\"d\\" d","arguments":{"a":1}}</tool_call>'
WRONG = [
    '<tool_call>{"name": "get_weather", "arguments": {"city": 1}}</tool_call>',
    '<tool_call>{"name": "get_time", "arguments": {}}</tool_call>',
    "<tool_call>hello</tool_call>",
    "<tool_call>",
    f"{WEATHER_CALL} and text",
]


@pytest.mark.parametrize(
    ("required", "parallel", "yes", "no"),
    [
        (True, True, [WEATHER_CALL, ADD_CALL, f"{WEATHER_CALL}\n{ADD_CALL}"], ["", "hello", f"hello {ADD_CALL}"]),
        (True, False, [WEATHER_CALL, ADD_CALL], ["", f"{WEATHER_CALL}\n{ADD_CALL}", "hello"]),
        (
            False,
            True,
            ["", "hello", "hello <tool_cal", WEATHER_CALL, f"hello\n{ADD_CALL}{ADD_CALL}\n", "{}</tool_call>"],
            [],
        ),
        (False, False, ["", "hello", f"hello{ADD_CALL}"], [f"{WEATHER_CALL}\n{ADD_CALL}"]),
    ],
)
def test_calls(required: bool, parallel: bool, yes: list[str], no: list[str]) -> None:
    constraint = demo_grammars().tools([CITY, ADD], required=required, parallel=parallel)
    assert [text for text in yes if not follows(constraint, text)] == []
    assert [text for text in [*no, *WRONG] if follows(constraint, text)] == []


def test_json_instead_of_calls() -> None:
    content = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
    constraint = demo_grammars().tools([CITY, ADD], required=False, parallel=True, content=content)
    assert all(follows(constraint, text) for text in (WEATHER_CALL, ADD_CALL, '{"x": 1}'))
    assert not any(follows(constraint, text) for text in ("", "hello", '{"x": "y"}', '{"x": 1}' + ADD_CALL, *WRONG))


def test_a_tool_that_cannot_be_enforced_is_named() -> None:
    with pytest.raises(GrammarError, match=r"parameters of tool 'f' cannot be enforced: .*not"):
        demo_grammars().tools([ToolSchema("f", {"not": {}})], required=False, parallel=True)
