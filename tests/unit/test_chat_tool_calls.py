"""Tool calls read out of the text of an answer, however it is cut into pieces."""

import json
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyggml.chat.tool_calls import ArgumentsPiece, CallStart, ContentPiece, MessagePiece, MessageReader

Read = tuple[str, list[tuple[str, str]]]


def merged(pieces: Iterable[MessagePiece]) -> Read:
    content, calls = "", list[tuple[str, str]]()
    for piece in pieces:
        if isinstance(piece, ContentPiece):
            content += piece.text
        elif isinstance(piece, CallStart):
            calls.append((piece.name, ""))
        else:
            assert isinstance(piece, ArgumentsPiece)
            calls[-1] = calls[-1][0], calls[-1][1] + piece.text
    return content, calls


def read(texts: Iterable[str]) -> Read:
    reader = MessageReader()
    return merged([*(piece for text in texts for piece in reader.push(text)), *reader.finish()])


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(["</tool_call>", '\\"', "<tool_"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
CALL = st.tuples(st.text(min_size=1, max_size=8), st.dictionaries(st.text(max_size=5), JSON, max_size=3))
PLAIN = st.text(st.sampled_from('ab <>/tool_call\n{}"é'), max_size=12).filter(lambda text: "<tool_call>" not in text)
ANYTHING = st.lists(
    st.sampled_from(
        ["<tool_call>", "</tool_call>", "<tool", '{"name": "f"', ', "arguments": ', "{", "}", '"', "\\", " ", "\n", "x"]
    ),
    max_size=14,
).map("".join)


@st.composite
def cuts(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[str, list[str]]:
    text = draw(texts)
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return text, [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@given(cuts(ANYTHING))
@settings(max_examples=400, deadline=None)
def test_cuts_change_nothing(cut: tuple[str, list[str]]) -> None:
    text, pieces = cut
    assert read(pieces) == read([text]) == read(text)


@given(PLAIN)
@settings(max_examples=100, deadline=None)
def test_text_without_calls_is_content(text: str) -> None:
    assert read(text) == (text, [])


@given(PLAIN.map(str.strip), st.lists(CALL, min_size=1, max_size=3), st.sampled_from([None, 2]))
@settings(max_examples=200, deadline=None)
def test_calls_are_found(before: str, calls: list[tuple[str, dict[str, object]]], indent: int | None) -> None:
    bodies = [json.dumps({"name": name, "arguments": arguments}, indent=indent) for name, arguments in calls]
    text = before + "\n".join(f"\n<tool_call>\n{body}\n</tool_call>" for body in bodies)
    content, found = read([text])
    assert content == before
    assert [(name, json.loads(arguments)) for name, arguments in found] == calls


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<tool_call>{"arguments": {"a": 1}, "name": "f"}</tool_call>', ("", [("f", '{"a": 1}')])),
        ('<tool_call>{"name": "f", "parameters": {"a": 1}}</tool_call>', ("", [("f", '{"a": 1}')])),
        ('<tool_call>{"name": "f"}</tool_call>', ("", [("f", "{}")])),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', ("", [("f", "{}")])),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', ("", [("f", '{"a": 1}')])),
        ('<tool_call>{"name": "f", "arguments": {"a": [1, {', ("", [("f", '{"a": [1, {')])),
        ('<tool_call>{"name": "f", "arguments": {"a": 1}} and then', ("and then", [("f", '{"a": 1}')])),
        ('<tool_call>{"name": "f", "id": {"name": "g"}, "arguments": {}}</tool_call>', ("", [("f", "{}")])),
        ('<tool_call>{"name": "f", "arguments": {}}</tool_call> so. ', ("so. ", [("f", "{}")])),
        ("<tool_call>call f</tool_call>!", ("<tool_call>call f</tool_call>!", [])),
        ('<tool_call>{"name": 3}</tool_call>', ('<tool_call>{"name": 3}</tool_call>', [])),
        ('<tool_call>{"nam', ('<tool_call>{"nam', [])),
        ('a <tool_call>{"name": "f", "arguments": {]</tool_call> b', ("ab", [("f", "{")])),
        ("1 < 2 <tool", ("1 < 2 <tool", [])),
    ],
)
def test_forms(text: str, expected: Read) -> None:
    assert read(text) == expected


def test_pieces_come_as_soon_as_they_are_certain() -> None:
    reader = MessageReader()
    assert reader.push("I see.\n<tool") == [ContentPiece("I see.")]
    assert reader.push('_call>\n{"name": "f') == []
    assert reader.push('", "arguments": {"a"') == [CallStart("f"), ArgumentsPiece('{"a"')]
    assert reader.push(": 1") == [ArgumentsPiece(": 1")]
    assert reader.push("}}\n</tool_call>") == [ArgumentsPiece("}")]
    assert reader.finish() == []
