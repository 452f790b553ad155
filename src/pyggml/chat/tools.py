"""Conversations with tools: what templates need to write them, and what is written where a template knows none."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pyggml.chat.template import ChatTemplate
from pyggml.chat.tool_calls import CLOSE_TAG, OPEN_TAG

_Message = Mapping[str, Any]
_DEFAULT_SYSTEM = "You are a helpful assistant."
_INSTRUCTIONS = """

# Tools

These functions can be called:
<tools>
{tools}
</tools>

To call one, write its name and arguments as a JSON object between tags, once for each call:
{open}
{{"name": <name>, "arguments": <object>}}
{close}"""


def render_with_tools(
    template: ChatTemplate, messages: Sequence[_Message], tools: Sequence[Mapping[str, Any]], **variables: Any
) -> str:
    """Write a conversation that may have tools, calls and results in it.

    A template that leaves tools out gets a conversation without: they are described in the system message, calls and
    results are texts in the form of Hermes models. Raises ChatTemplateError as `ChatTemplate.render` does.
    """
    messages = [_with_objects(message) for message in messages]
    if not template.takes_tools:
        messages, tools = _in_words(messages, tools), ()
    return template.render(messages, tools=list(tools) or None, **variables)


def _with_objects(message: _Message) -> dict[str, Any]:
    """A copy with the arguments of calls as objects, which the API has as text, and with some content."""
    copy = dict(message)
    if copy.get("content") is None:
        copy["content"] = ""
    if calls := copy.get("tool_calls"):
        copy["tool_calls"] = [{**call, "function": _with_object(call["function"])} for call in calls]
    return copy


def _with_object(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function.get("arguments", {})
    try:
        value = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError:  # the model's own words, cut off perhaps: it may read them again
        value = arguments
    return {**function, "arguments": value}


def _in_words(messages: Sequence[_Message], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with tools as text."""
    told: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            result = f"<tool_response>\n{_text(message['content'])}\n</tool_response>"
            if told and told[-1]["role"] == "tool":
                told[-1]["content"] += f"\n{result}"
            else:
                told.append({"role": "tool", "content": result})
        elif calls := message.get("tool_calls"):
            texts = [_text(message["content"])] if message["content"] else []
            told.append({"role": message["role"], "content": "\n".join([*texts, *(_call(call) for call in calls)])})
        else:
            told.append(dict(message))
    told = [{**message, "role": "user"} if message["role"] == "tool" else message for message in told]
    return _with_instructions(told, tools) if tools else told


def _with_instructions(messages: list[dict[str, Any]], tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    listed = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)
    instructions = _INSTRUCTIONS.format(tools=listed, open=OPEN_TAG, close=CLOSE_TAG)
    has_system = bool(messages) and messages[0]["role"] == "system"
    system = _text(messages[0]["content"]) if has_system else _DEFAULT_SYSTEM
    return [{"role": "system", "content": system + instructions}, *messages[has_system:]]


def _call(call: Mapping[str, Any]) -> str:
    function = call["function"]
    body = {"name": function["name"], "arguments": function["arguments"]}
    return f"{OPEN_TAG}\n{json.dumps(body, ensure_ascii=False)}\n{CLOSE_TAG}"


def _text(content: Any) -> str:
    """A content that may be in parts."""
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)
