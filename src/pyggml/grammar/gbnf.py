"""A reader of GBNF, the notation of grammars that llama.cpp's grammars/README.md describes."""

import string
from collections.abc import Callable

from pyggml.errors import GrammarError
from pyggml.grammar.notation import Alternatives, Characters, Node, Reference, Repetition, Sequence, TokenItem

_NAME = frozenset(string.ascii_letters + string.digits + "-")
_CONTROLS = {"t": "\t", "r": "\r", "n": "\n"}
_ESCAPED = frozenset('\\"[]-')
_HEX_DIGITS = {"x": 2, "u": 4, "U": 8}
_MARKS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
_ANY = Characters((), negated=True)
_LAST_CHARACTER, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)
_MOST_NESTED, _MOST_REPEATED = 100, 100_000

TokenOf = Callable[[str], int | None]
"""The token that a text is, all of it; None if it is none or several."""


def read_gbnf(text: str, token_of: TokenOf) -> dict[str, Node]:
    """The rules by their names, `root` among them. Raises GrammarError, with line and column."""
    return _Reader(text, token_of).rules()


class _Reader:
    """A cursor in the text, and a method for each construct."""

    def __init__(self, text: str, token_of: TokenOf) -> None:
        self._text = text
        self._token_of = token_of
        self._place = 0
        self._depth = 0
        self._references: dict[str, int] = {}

    def rules(self) -> dict[str, Node]:
        """All of the text."""
        rules: dict[str, Node] = {}
        self._skip_space(newlines=True)
        while self._place < len(self._text):
            name = self._name("a rule's name")
            self._skip_space(newlines=False)
            self._expect("::=")
            self._skip_space(newlines=True)
            rules[name] = self._alternatives(nested=False)
            if self._place < len(self._text) and self._peek() not in "\r\n":
                raise self._error("the end of the line")
            self._skip_space(newlines=True)
        if missing := [name for name in self._references if name not in rules]:
            self._place = self._references[missing[0]]
            raise self._error(f"the name of a rule: there is no rule {missing[0]!r}")
        if "root" not in rules:
            raise GrammarError("the grammar has no rule 'root'; it is where a grammar begins")
        return rules

    def _alternatives(self, *, nested: bool) -> Node:
        options = [self._sequence(nested=nested)]
        while self._peek() == "|":
            self._place += 1
            self._skip_space(newlines=True)
            options.append(self._sequence(nested=nested))
        return options[0] if len(options) == 1 else Alternatives(tuple(options))

    def _sequence(self, *, nested: bool) -> Node:
        items: list[Node] = []
        while (item := self._item(items)) is not None:
            items.append(item)
            self._skip_space(newlines=nested)
        return items[0] if len(items) == 1 else Sequence(tuple(items))

    def _item(self, items: list[Node]) -> Node | None:
        """The next item; a repetition takes the place of the last of `items`. None if no item begins here."""
        first = self._peek()
        if first == '"':
            return self._literal()
        if first == "[":
            return self._characters()
        if first == "(":
            return self._group()
        if first == ".":
            self._place += 1
            return _ANY
        if first and first in "<!":
            return self._token()
        if first in _NAME:
            self._references.setdefault(name := self._name("a rule's name"), self._place - len(name))
            return Reference(name)
        if first and first in "*+?{":
            if not items:
                raise self._error("something to repeat before it")
            return Repetition(items.pop(), *self._bounds(first))
        return None

    def _literal(self) -> Node:
        self._expect('"')
        characters = []
        while self._peek() != '"':
            code = self._character()
            characters.append(Characters(((code, code),)))
        self._expect('"')
        return characters[0] if len(characters) == 1 else Sequence(tuple(characters))

    def _characters(self) -> Node:
        self._expect("[")
        negated = self._peek() == "^"
        self._place += negated
        ranges = []
        while self._peek() != "]":
            start = self._place
            low = high = self._character()
            if self._peek() == "-" and self._text[self._place + 1 : self._place + 2] != "]":
                self._place += 1
                high = self._character()
            if high < low:
                self._place = start
                raise self._error("a range from a lower to a higher character")
            ranges.append((low, high))
        if not ranges:
            raise self._error("a character: the brackets are empty")
        self._expect("]")
        return Characters(tuple(ranges), negated)

    def _group(self) -> Node:
        self._expect("(")
        self._depth += 1
        if self._depth > _MOST_NESTED:
            raise self._error(f"at most {_MOST_NESTED} brackets inside each other")
        self._skip_space(newlines=True)
        inside = self._alternatives(nested=True)
        self._expect(")")
        self._depth -= 1
        return inside

    def _token(self) -> Node:
        negated = self._peek() == "!"
        self._place += negated
        start = self._place
        self._expect("<")
        end = self._text.find(">", start)
        name = self._text[start : end + 1]
        number = name[2:-2] if name.startswith("<[") and name.endswith("]>") else None
        token = self._token_of(name) if number is None else int(number) if _is_number(number) else None
        if token is None:
            self._place = start
            raise self._error("<[number]> or <text> of one token of the vocabulary")
        self._place = end + 1
        return TokenItem(token, negated)

    def _bounds(self, mark: str) -> tuple[int, int | None]:
        self._place += 1
        if mark != "{":
            return _MARKS[mark]
        start = self._place
        low = high = self._number()
        if self._skipped() == ",":
            self._place += 1
            high = self._number()
        if low is None or self._skipped() != "}":
            raise self._error("{m}, {m,} or {m,n}")
        self._place += 1
        if max(low, high or 0) > _MOST_REPEATED or (high is not None and high < low):
            self._place = start
            raise self._error(f"numbers of repetitions that rise, up to {_MOST_REPEATED:,}")
        return low, high

    def _number(self) -> int | None:
        self._skip_space(newlines=False)
        start = self._place
        while self._peek() in frozenset(string.digits):
            self._place += 1
        digits = self._text[start : self._place]
        return min(int(digits[:9]), _MOST_REPEATED + 1) if digits else None

    def _character(self) -> int:
        """The code of the next character, which may be escaped."""
        start, first = self._place, self._peek()
        if not first:
            raise self._error("the end of what was opened")
        self._place += 1
        code = ord(first) if first != "\\" else self._escaped()
        if code > _LAST_CHARACTER or code in _SURROGATES:
            self._place = start
            raise self._error("a character of Unicode")
        return code

    def _escaped(self) -> int:
        mark = self._peek()
        self._place += 1
        if mark in _CONTROLS:
            return ord(_CONTROLS[mark])
        if mark in _ESCAPED:
            return ord(mark)
        n_digits = _HEX_DIGITS.get(mark, 0)
        digits = self._text[self._place : self._place + n_digits]
        if not n_digits or len(digits) < n_digits or not set(digits) <= set(string.hexdigits):
            self._place -= 2
            raise self._error(r"an escape: \n, \r, \t, \\, \", \[, \], \-, \xHH, \uHHHH or \UHHHHHHHH")
        self._place += n_digits
        return int(digits, 16)

    def _name(self, what: str) -> str:
        start = self._place
        while self._peek() in _NAME:
            self._place += 1
        if start == self._place:
            raise self._error(what)
        return self._text[start : self._place]

    def _skipped(self) -> str:
        self._skip_space(newlines=False)
        return self._peek()

    def _skip_space(self, *, newlines: bool) -> None:
        """Go over blanks and comments."""
        blank = " \t\r\n" if newlines else " \t"
        while (character := self._peek()) and (character in blank or character == "#"):
            if character == "#":
                while self._peek() and self._peek() not in "\r\n":
                    self._place += 1
            else:
                self._place += 1

    def _peek(self) -> str:
        """The next character; empty at the end."""
        return self._text[self._place : self._place + 1]

    def _expect(self, text: str) -> None:
        if not self._text.startswith(text, self._place):
            raise self._error(repr(text))
        self._place += len(text)

    def _error(self, expected: str) -> GrammarError:
        before = self._text[: self._place]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        found = repr(self._text[self._place : self._place + 20]) if self._peek() else "the end"
        return GrammarError(f"the grammar, line {line}, column {column}: expected {expected}; found {found}")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
