"""The grammar of answers with tool calls, in the form of Hermes models, which Qwen2.5 uses, too."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pyggml.grammar.schema import Schema, json_grammar

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class ToolSchema:
    """A tool, and what its arguments obey."""

    name: str
    parameters: Schema


def tool_grammar(tools: Sequence[ToolSchema], *, required: bool, parallel: bool, content: Schema | None = None) -> str:
    r"""An answer of calls, each `<tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>`, for llguidance.

    Unless they are `required`, there may be text before, and there may be none; or there is JSON instead of calls, if
    `content` tells its schema.
    """
    more = f' (BLANK? "{_OPEN}" call)*' if parallel else ""
    calls = f'"{_OPEN}" call{more}'
    lines = [
        f'call: BLANK? ({" | ".join(f"call_{index}" for index in range(len(tools)))}) BLANK? "{_CLOSE}"',
        r"BLANK: / |\n[ ]{0,4}/",
    ]
    if required:
        lines.append(f"start: {calls}")
    elif content is not None:
        lines += [f"start: {calls} | content", f"content: %json {json_grammar(content)}"]
    else:
        # The text ends with the first tag; in what remains text to the end, there is none.
        lines += [
            f"start: TEXT | opened call{more} BLANK?",
            f'opened[lazy]: ANY "{_OPEN}"',
            r"ANY: /(?s:.*)/",
            rf"TEXT: /(?s:.*)/ & ~/(?s:.*){_OPEN}(?s:.*)/",
        ]
    for index, tool in enumerate(tools):
        name = _text(json.dumps(tool.name, ensure_ascii=False))
        lines += [
            f'call_{index}: "{{" BLANK? {_text(json.dumps("name"))} BLANK? ":" BLANK? {name} BLANK? "," BLANK?'
            f' {_text(json.dumps("arguments"))} BLANK? ":" BLANK? arguments_{index} BLANK? "}}"',
            f"arguments_{index}: %json {json_grammar(tool.parameters)}",
        ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    """A literal of the notation."""
    return json.dumps(text)
