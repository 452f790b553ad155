"""Tool calls in the text of an answer, in the form of Hermes models, which Qwen2.5 uses, too.

A call is `<tool_call>`, a JSON object with "name" and "arguments", `</tool_call>`. The text comes in pieces, and so do
the parts of the message that are read from it, however it was cut.
"""

from dataclasses import dataclass
from typing import TypeAlias

from pyggml.chat.call_body import CallBody

OPEN_TAG, CLOSE_TAG = "<tool_call>", "</tool_call>"


@dataclass(frozen=True)
class ContentPiece:
    """Text of the message."""

    text: str


@dataclass(frozen=True)
class CallStart:
    """A call of a tool begins."""

    name: str


@dataclass(frozen=True)
class ArgumentsPiece:
    """Text of the arguments of the call that began last; all of it is a JSON object."""

    text: str


MessagePiece: TypeAlias = ContentPiece | CallStart | ArgumentsPiece


class MessageReader:
    """Reads an answer; `push` and `finish` give what is certain by then.

    Blanks before and after a call are no content. What is between the tags and is no call stays content, tags and all;
    a call whose name is known remains one, even if it breaks off.
    """

    def __init__(self) -> None:
        self._held = ""  # content that may be a tag, or blanks before one
        self._call: _Call | None = None
        self._is_after_call = False

    def push(self, text: str) -> list[MessagePiece]:
        """Take in a piece of the answer."""
        pieces: list[MessagePiece] = []
        while text:
            if self._call is None:
                text = self._read_content(text, pieces)
            else:
                text = self._call.push(text, pieces)
                if self._call.is_over:
                    self._call, self._is_after_call = None, True
        return pieces

    def finish(self) -> list[MessagePiece]:
        """The answer is over."""
        pieces: list[MessagePiece] = []
        if self._call:
            self._call.finish(pieces)
        elif self._held:
            pieces.append(ContentPiece(self._held))
        self._call, self._held = None, ""
        return pieces

    def _read_content(self, text: str, pieces: list[MessagePiece]) -> str:
        """Read up to the next call; gives what follows."""
        text = self._held + text
        if self._is_after_call:
            text = text.lstrip()
            self._is_after_call = not text
        content, tag, rest = text.partition(OPEN_TAG)
        if tag:
            self._held, self._call = "", _Call()
            content = content.rstrip()
        else:
            n_certain = len(content[: len(content) - _n_begun(content, OPEN_TAG)].rstrip())
            content, self._held = content[:n_certain], content[n_certain:]
        if content:
            pieces.append(ContentPiece(content))
        return rest


class _Call:
    """What is between the tags."""

    def __init__(self) -> None:
        self.is_over = False
        self._body = CallBody()
        self._raw = OPEN_TAG
        self._behind = ""  # the object
        self._is_announced = False
        self._has_arguments = False

    def push(self, text: str, pieces: list[MessagePiece]) -> str:
        """Read up to the end of the call; gives what follows."""
        n_read = self._body.push(text)
        self._raw += text[:n_read]
        self._say(pieces)
        return self._read_behind(text[n_read:], pieces)

    def finish(self, pieces: list[MessagePiece]) -> None:
        """The call is over, with or without its tag."""
        self.is_over = True
        if not self._is_announced:
            pieces.append(ContentPiece(self._raw + self._behind))
        elif self._body.is_over and not self._has_arguments:
            pieces.append(ArgumentsPiece("{}"))

    def _say(self, pieces: list[MessagePiece]) -> None:
        """What is new; nothing before the name."""
        if self._body.name is None:
            return
        if not self._is_announced:
            pieces.append(CallStart(self._body.name))
            self._is_announced = True
        if text := self._body.take_arguments():
            pieces.append(ArgumentsPiece(text))
            self._has_arguments = True

    def _read_behind(self, text: str, pieces: list[MessagePiece]) -> str:
        """Read up to the tag; of a whole object, only blanks may be before it."""
        if not (self._body.is_over or self._body.is_broken):
            return text
        behind, tag, rest = (self._behind + text).partition(CLOSE_TAG)
        if self._body.is_over and not CLOSE_TAG.startswith((behind + tag).lstrip()):
            self._behind = ""
            self.finish(pieces)
            return behind + tag + rest
        self._behind = behind + tag
        if tag:
            self.finish(pieces)
        return rest


def _n_begun(text: str, tag: str) -> int:
    """The length of the longest end of the text that begins the tag."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if text.endswith(tag[:n])), 0)
