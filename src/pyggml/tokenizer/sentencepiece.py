"""SentencePiece vocabularies with scores: those that GGUF files call `llama`.

Text is cut into characters, neighbours are merged by the scores of the pieces they make, and what is no piece is
spelled in byte tokens (Kudo and Richardson 2018, "SentencePiece").
"""

import re
from collections.abc import Mapping, Sequence

from pyggml.errors import TokenizerError
from pyggml.tokenizer import utf8
from pyggml.tokenizer.merging import MergeTable
from pyggml.tokenizer.word_cache import WordCache

SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What stands for a space in the tokens."""


class SentencePieceModel:
    """Encodes texts without special tokens, and decodes ordinary tokens."""

    def __init__(self, ids: Mapping[str, int], scores: Sequence[float], *, add_space_prefix: bool) -> None:
        """Use the ids of all tokens and the score of each, in the order of the ids.

        With `add_space_prefix`, a text that begins, or follows a special token, gets a space in front.
        """
        self._ids = ids
        self._merges = MergeTable({text: -scores[token] for text, token in ids.items()}, "")
        self._add_space_prefix = add_space_prefix
        self._word_starts = _word_starts(ids)
        self._words = WordCache(self._encode_word)

    def encode(self, text: str, *, follows_special: bool) -> list[int]:
        """The ids of a text in which invalid bytes are escaped, see `utf8`.

        Raises TokenizerError if a byte has to be spelled out for which the vocabulary has no token.
        """
        if follows_special and self._add_space_prefix:
            text = " " + text
        text = text.replace(" ", SPACE)
        if utf8.has_invalid_bytes(text):
            return list(self._encode_characters(utf8.characters_by_length(text)))
        return self._words.encode_all(self._word_starts.split(text))

    def decode(self, token_text: str) -> bytes:
        """The bytes of an ordinary token."""
        return token_text.replace(SPACE, " ").encode()

    def byte_token(self, byte: int) -> int | None:
        """The token that spells a byte: `<0xHH>`, or the ASCII character itself."""
        token = self._ids.get(f"<0x{byte:02X}>")
        return self._ids.get(chr(byte)) if token is None and byte < 0x80 else token

    def _encode_word(self, word: str) -> tuple[int, ...]:
        return self._encode_characters(list(word))

    def _encode_characters(self, characters: list[str]) -> tuple[int, ...]:
        ids: list[int] = []
        for symbol in self._merges.merge(characters):
            token = self._ids.get(symbol)
            if token is not None:
                ids.append(token)
            else:
                ids.extend(map(self._required_byte_token, utf8.unescape(symbol)))
        return tuple(ids)

    def _required_byte_token(self, byte: int) -> int:
        token = self.byte_token(byte)
        if token is None:
            raise TokenizerError(
                f"the vocabulary has neither a piece for a character of the text nor the token <0x{byte:02X}> to spell "
                "it with: use a file with byte tokens"
            )
        return token


def _word_starts(tokens: Mapping[str, int]) -> re.Pattern[str]:
    """The places before a SPACE across which nothing can be merged, so that what lies between can be encoded alone.

    Across a place is merged only if some token has the same two characters in its middle: a SPACE with what stands
    before it there.
    """
    before = {
        token[place - 1]
        for token in tokens
        if SPACE in token
        for place in range(1, len(token))
        if token[place] == SPACE
    }
    return re.compile(f"(?={SPACE})(?<![{re.escape(''.join(sorted(before)))}])" if before else f"(?={SPACE})")
