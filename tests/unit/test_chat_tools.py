"""Conversations with tools, written by templates that know them and by those that do not."""

import json
from typing import Any

import pytest

from pyggml.chat import BUILT_IN_TEMPLATES, ChatTemplate, MessageReader, render_with_tools
from pyggml.chat.tool_calls import ArgumentsPiece, CallStart

TOOL = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "1 + 1?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "2"},
    {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "3"}]},
    {"role": "user", "content": "Sure?"},
]
KNOWING = (
    "{% for tool in tools or [] %}<{{ tool.function.name }}>{% endfor %}"
    "{% for m in messages %}{{ m.role }}:{{ m.content }}"
    "{% for call in m.tool_calls or [] %}[{{ call.function.arguments | tojson }}]{% endfor %};{% endfor %}"
)


@pytest.fixture(scope="module")
def chatml() -> ChatTemplate:
    return ChatTemplate.from_text(BUILT_IN_TEMPLATES["chatml"], "", "")


def test_a_template_that_knows_tools_gets_arguments_as_objects() -> None:
    template = ChatTemplate.from_text(KNOWING, "", "")
    assert template.takes_tools
    text = render_with_tools(template, TALK[:3], [TOOL])
    assert text == '<add>user:1 + 1?;assistant:[{"a": 1}][{"a": 1}];tool:2;'


def test_arguments_that_are_no_json_stay_text() -> None:
    call = {**CALL, "function": {"name": "add", "arguments": '{"a'}}
    text = render_with_tools(ChatTemplate.from_text(KNOWING, "", ""), [{"role": "assistant", "tool_calls": [call]}], [])
    assert text == 'assistant:["{\\"a"];'


def test_other_templates_get_texts(chatml: ChatTemplate) -> None:
    assert not chatml.takes_tools
    text = render_with_tools(chatml, TALK, [TOOL])
    system, *turns = text.split("<|im_start|>")[1:]
    assert system.startswith("system\nYou are a helpful assistant.\n\n# Tools")
    assert json.dumps(TOOL) in system
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    responses = "<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response>"
    assert turns == [
        "user\n1 + 1?<|im_end|>\n",
        f"assistant\n{call}\n{call}<|im_end|>\n",
        f"user\n{responses}<|im_end|>\n",
        "user\nSure?<|im_end|>\n",
        "assistant\n",
    ]
    assert MessageReader().push(call) == [CallStart("add"), ArgumentsPiece('{"a": 1}')]


def test_a_system_message_stays_in_front(chatml: ChatTemplate) -> None:
    text = render_with_tools(chatml, [{"role": "system", "content": "Be brief."}, TALK[0]], [TOOL])
    assert text.startswith("<|im_start|>system\nBe brief.\n\n# Tools")
    assert text.count("<|im_start|>system") == 1


def test_without_tools_nothing_is_added(chatml: ChatTemplate) -> None:
    assert render_with_tools(chatml, TALK[:1], []) == chatml.render(TALK[:1])
