"""The JSON object of a tool call, read as it grows."""

import json
from typing import Any

_BLANKS = " \t\r\n"
_CLOSERS = {"{": "}", "[": "]"}
_OUTSIDE_STRINGS = frozenset("{}[]:,+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" + _BLANKS)


class CallBody:
    """Finds `name` and the text of the arguments in an object as soon as they are there.

    It reads no further than the object goes; `is_broken` once the text cannot be an object.
    """

    def __init__(self) -> None:
        self.name: str | None = None
        self.is_over = False
        self.is_broken = False
        self._text = ""
        self._closers: list[str] = []
        self._in_string = False
        self._escaped = False
        self._string_start = 0
        self._key: Any = None  # of the value that is being read
        self._key_text = '""'
        self._value_start = 0
        self._arguments: tuple[int, int | None] | None = None  # from where to where; None: not over
        self._n_taken = 0

    def push(self, text: str) -> int:
        """Read on; gives how many characters belong to the object, or to the blanks before it."""
        for index, character in enumerate(text):
            if self.is_over or self.is_broken:
                return index
            self._read(character)
            if self.is_broken:
                return index
            self._text += character
        return len(text)

    def take_arguments(self) -> str:
        """What is new in the text of the arguments."""
        if self._arguments is None:
            return ""
        start, end = self._arguments
        if self._text[start : start + 1] == "{":
            text = self._text[start:end]
        elif end is None:
            return ""
        else:
            text = _as_object(self._text[start:end])
        taken, self._n_taken = text[self._n_taken :], len(text)
        return taken

    def _read(self, character: str) -> None:
        if self._in_string:
            self._read_in_string(character)
        elif character == '"' and self._closers:
            self._in_string, self._string_start = True, len(self._text)
            self._begin_value()
        elif character not in _OUTSIDE_STRINGS or (not self._closers and character not in "{" + _BLANKS):
            self.is_broken = True
        elif character in _CLOSERS:
            self._begin_value()
            self._closers.append(_CLOSERS[character])
        elif character in "]}":
            self._close(character)
        elif character == ":" and len(self._closers) == 1:
            self._key, self._value_start = _loaded(self._key_text), -1
        elif character == "," and len(self._closers) == 1:
            self._end_value(len(self._text))
        elif character not in _BLANKS:
            self._begin_value()

    def _read_in_string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False
            if len(self._closers) == 1:
                self._end_string(self._text[self._string_start :] + '"')

    def _end_string(self, text: str) -> None:
        """A string is over that is a key of the object, or a value in it."""
        if self._key is None:
            self._key_text = text
            return
        if self._key == "name" and self.name is None and isinstance(name := _loaded(text), str):
            self.name = name
        self._end_value(len(self._text) + 1)

    def _begin_value(self) -> None:
        """Something begins that may be a value of the object."""
        if self._value_start < 0 and len(self._closers) == 1:
            self._value_start = len(self._text)
            if self._key in ("arguments", "parameters") and self._arguments is None:
                self._arguments = self._value_start, None

    def _close(self, character: str) -> None:
        if self._closers[-1] != character:
            self.is_broken = True
            return
        if len(self._closers) == 1:
            self._end_value(len(self._text))
            self.is_over = True
        self._closers.pop()
        if len(self._closers) == 1:
            self._end_value(len(self._text) + 1)

    def _end_value(self, end: int) -> None:
        self._key = None
        if self._arguments is not None and self._arguments[1] is None:
            self._arguments = self._arguments[0], end


def _loaded(text: str) -> Any:
    """The value of a text, which may be no JSON: None then."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _as_object(text: str) -> str:
    """Arguments that are no object: models write the object as a string, or null for none."""
    value = _loaded(text)
    return value if isinstance(value, str) else "{}" if value is None else text.rstrip()
