"""Finding special tokens in a text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyggml.tokenizer.attributes import TokenAttribute

_WHITE_SPACE = " \t\n\v\f\r"


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token that is found in a text as it stands; it may strip the white space before and behind it."""

    token: int
    text: str
    attribute: TokenAttribute


class Partition:
    """Cuts texts into special tokens and what lies between them.

    The longest token, in bytes, is looked for first, in the whole text from left to right; then the next in the rest.
    Of tokens with the same length the one with the lower id comes first.
    """

    def __init__(self, tokens: Sequence[SpecialToken]) -> None:
        """Look for these tokens."""
        self._tokens = sorted(tokens, key=lambda each: (-len(each.text.encode()), each.token))
        self._lengths = sorted({len(each.text) for each in tokens})

    def split(self, text: str) -> list[str | int]:
        """The special tokens, by id, and the texts between them, none of them empty."""
        fragments: list[str | int] = [text] if text else []
        for special in self._present(text):
            fragments = [
                part
                for fragment in fragments
                for part in ([fragment] if isinstance(fragment, int) else _cut(fragment, special))
            ]
        return fragments

    def _present(self, text: str) -> list[SpecialToken]:
        """The tokens that occur in a text, overlapping or not, in the order in which they are looked for."""
        if not self._tokens or not self._any.search(text):
            return []
        longest = {match[1] for match in self._longest_at_every_place.finditer(text)}
        texts = {found[:length] for found in longest for length in self._lengths}
        return [each for each in self._tokens if each.text in texts]

    @cached_property
    def _any(self) -> re.Pattern[str]:
        return re.compile(self._alternatives)

    @cached_property
    def _longest_at_every_place(self) -> re.Pattern[str]:
        return re.compile(f"(?=({self._alternatives}))")

    @cached_property
    def _alternatives(self) -> str:
        """An expression for all tokens, the longest first; by their first characters, as there can be thousands."""
        by_first: dict[str, list[str]] = {}
        for text in sorted((each.text for each in self._tokens), key=len, reverse=True):
            by_first.setdefault(text[0], []).append(re.escape(text[1:]))
        return "|".join(f"{re.escape(first)}(?:{'|'.join(rest)})" for first, rest in by_first.items())


def _cut(fragment: str, special: SpecialToken) -> Iterator[str | int]:
    start = 0
    while (found := fragment.find(special.text, start)) >= 0:
        left = fragment[start:found]
        if special.attribute & TokenAttribute.LSTRIP:
            left = left.rstrip(_WHITE_SPACE)
        if left:
            yield left
        yield special.token
        start = found + len(special.text)
        if special.attribute & TokenAttribute.RSTRIP:
            while fragment[start : start + 1] in _WHITE_SPACE and start < len(fragment):
                start += 1
    if start < len(fragment):
        yield fragment[start:]
