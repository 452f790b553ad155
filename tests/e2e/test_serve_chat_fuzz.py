"""Chats of any kind, and any schema or grammar: an answer, or an error that is the client's."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.server.service import ServerOptions
from tests.e2e.serving import Served, served

ODD = st.sampled_from([None, True, -1, 2**64, 1.5, "", "a", "\x00", [], {}, [None], {"type": "text"}, "required"])
KEYWORDS = (
    *("type", "properties", "items", "enum", "const", "required", "anyOf", "allOf", "oneOf", "$ref", "$defs", "not"),
    *("minimum", "maxLength", "pattern", "format", "additionalProperties", "minItems", "prefixItems", "multipleOf"),
)
TYPES = st.sampled_from(["object", "array", "string", "integer", "number", "boolean", "null", "thing", ["string"]])
SCHEMA = st.recursive(
    st.builds(lambda kind: {"type": kind}, TYPES) | st.booleans(),
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from(KEYWORDS), inner | ODD | st.lists(inner, max_size=2), max_size=3),
        st.builds(lambda each: {"type": "object", "properties": each}, st.dictionaries(st.text(max_size=3), inner)),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, max_size=3)),
    ),
    max_leaves=5,
)
TEXT_PART = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "input_text", "image"]), "text": st.text(max_size=5)}
)
CALL = st.fixed_dictionaries(
    {"id": st.just("c"), "function": st.fixed_dictionaries({"name": st.just("f"), "arguments": ODD})}
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "tool", "developer", "friend"])},
    optional={
        "content": st.text(max_size=5) | ODD | st.lists(TEXT_PART, max_size=2),
        "tool_calls": ODD | st.lists(CALL, max_size=2),
    },
)
TOOL = st.one_of(
    ODD,
    st.builds(lambda schema: {"type": "function", "function": {"name": "f", "parameters": schema}}, SCHEMA),
    st.builds(lambda schema: {"type": "function", "name": "f", "parameters": schema}, SCHEMA),
    st.builds(lambda schema: {"name": "f", "input_schema": schema}, SCHEMA),
)
ITEM = MESSAGE | st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "thing"])},
    optional={"call_id": ODD, "name": ODD, "arguments": ODD, "output": ODD, "role": ODD, "content": ODD},
)
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "tool_result", "thinking", "image"])},
    optional={"text": ODD, "name": ODD, "input": ODD, "content": ODD, "tool_use_id": ODD, "id": ODD},
)
FORM = st.builds(lambda schema: {"type": "json_schema", "schema": schema, "json_schema": {"schema": schema}}, SCHEMA)
GRAMMAR = st.text(st.sampled_from('root ::= "a"[]()|*{}1,\n'), max_size=20).map(lambda text: f'root ::= "b" {text}')
STRUCTURE: dict[str, st.SearchStrategy[Any]] = {
    "tools": st.lists(TOOL, max_size=2),
    "tool_choice": ODD
    | st.sampled_from(["required", {"type": "tool", "name": "f"}, {"type": "function", "name": "f"}]),
    "json_schema": SCHEMA,
    "response_format": FORM | ODD,
    "text": st.builds(lambda form: {"format": form}, FORM) | ODD,
    "output_config": st.builds(lambda form: {"format": form}, FORM) | ODD,
    "grammar": GRAMMAR | ODD,
    "logprobs": st.booleans(),
    "system": ODD | st.lists(BLOCK, max_size=1),
    "stream": st.booleans(),
    "n": st.integers(0, 3),
}
CONVERSATIONS: dict[str, st.SearchStrategy[Any]] = {
    "/v1/chat/completions": st.lists(MESSAGE, max_size=3),
    "/v1/responses": st.text(max_size=5) | st.lists(ITEM, max_size=3),
    "/v1/messages": st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": ODD | st.lists(BLOCK)}),
        max_size=3,
    ),
}


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(ServerOptions(n_predict=4)) as server:
        yield server


@pytest.mark.parametrize("path", CONVERSATIONS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_chat_is_the_servers_fault(server: Served, path: str, data: st.DataObject) -> None:
    conversation = data.draw(CONVERSATIONS[path]) if data.draw(st.booleans()) else [{"role": "user", "content": "Hi"}]
    body = data.draw(st.fixed_dictionaries({}, optional=STRUCTURE))
    body |= {"input" if path == "/v1/responses" else "messages": conversation, "max_tokens": 4, "max_output_tokens": 4}
    said = json.dumps(body)
    response = server.client.post(path, content=said)
    assert response.status_code < 500, (said, response.text)
    if response.status_code == 400:
        assert response.json()["error"]["message"]
    elif body.get("stream"):
        assert "this is a bug" not in response.text
