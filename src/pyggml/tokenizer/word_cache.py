"""Remembering the ids of words, since a text repeats most of its words."""

from collections.abc import Callable, Iterable
from itertools import chain

MAX_WORDS = 1 << 16
MAX_WORD_LENGTH = 64


class WordCache(dict[str, tuple[int, ...]]):
    """The ids of every word met so far, found by calling `encode` where they are not known yet.

    It forgets all when it has MAX_WORDS words, and never keeps a word of more than MAX_WORD_LENGTH characters.
    """

    def __init__(self, encode: Callable[[str], tuple[int, ...]]) -> None:
        """Start empty."""
        super().__init__()
        self._encode = encode

    def __missing__(self, word: str) -> tuple[int, ...]:
        """Find the ids of a new word."""
        ids = self._encode(word)
        if len(word) <= MAX_WORD_LENGTH:
            if len(self) >= MAX_WORDS:
                self.clear()
            self[word] = ids
        return ids

    def encode_all(self, words: Iterable[str]) -> list[int]:
        """The ids of all words, one after another."""
        return list(chain.from_iterable(map(self.__getitem__, words)))
