"""Messages of a conversation, shaped as in the OpenAI chat API."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from pyggml.errors import ChatTemplateError


class Part(TypedDict, total=False):
    """One part of a message's content; `type` is "text" or what a vision template knows, such as "image"."""

    type: str
    text: str


class _Role(TypedDict):
    role: str


class Message(_Role, total=False):
    """One turn; only `role` is required, what else is read depends on the template."""

    content: str | Sequence[Part] | None
    name: str
    tool_calls: Sequence[Mapping[str, object]]
    tool_call_id: str


def check_messages(messages: Sequence[Mapping[str, object]]) -> None:
    """Raise ChatTemplateError unless every message has a role and a content that is text, parts or nothing."""
    for index, message in enumerate(messages):
        if not isinstance(message.get("role"), str):
            raise ChatTemplateError(
                f"message {index} has no role: found {message.get('role')!r}, a string such as 'user' is needed"
            )
        content = message.get("content")
        if isinstance(content, list | tuple) and all(isinstance(part, Mapping) for part in content):
            continue
        if content is not None and not isinstance(content, str):
            raise ChatTemplateError(
                f"the content of message {index} ({message['role']}) is of type {type(content).__name__}: "
                "a string or a list of parts such as {'type': 'text', 'text': '...'} is needed"
            )


def has_parts(messages: Sequence[Mapping[str, object]]) -> bool:
    """Tell whether the content of any message is a list of parts."""
    return any(isinstance(message.get("content"), list | tuple) for message in messages)


def with_plain_text(message: Mapping[str, object], index: int) -> dict[str, object]:
    """Copy a message with its text parts joined by newlines, as llama.cpp joins them.

    Raises ChatTemplateError for a part that is not text.
    """
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return dict(message)
    text = ""
    for part in content:
        if part.get("type") != "text" or not isinstance(part.get("text"), str):
            raise ChatTemplateError(
                f"message {index} ({message['role']}) has a part of type {part.get('type')!r}, "
                "but this chat template takes text alone"
            )
        text += ("\n" if text else "") + part["text"]
    return {**message, "content": text}
