"""Text to token ids and back."""

import operator
import re
from collections.abc import Iterable, Sequence
from typing import Protocol, SupportsIndex

from pyggml.errors import TokenizerError
from pyggml.tokenizer import utf8
from pyggml.tokenizer.attributes import HIDDEN, TokenAttribute
from pyggml.tokenizer.partition import Partition, SpecialToken
from pyggml.tokenizer.special_tokens import SpecialTokens
from pyggml.tokenizer.vocabulary import TextOptions, Vocabulary

_BEFORE_PUNCTUATION = re.compile(rb" (?=[?!.,])")
_LONE_APOSTROPHE = re.compile(rb" ' ")
_BEFORE_CONTRACTION = re.compile(rb" (?='(?:[sm]|re|ve))")


class TextModel(Protocol):
    """How texts without special tokens are encoded, and ordinary tokens decoded."""

    def encode(self, text: str, *, follows_special: bool) -> list[int]:
        """The ids of a text with escaped invalid bytes, which begins a text or follows a special token, or does not."""

    def decode(self, token_text: str) -> bytes:
        """The bytes of an ordinary token."""


class Tokenizer:
    """A vocabulary at work. `load_tokenizer` makes one from a file.

    - `special`: the tokens with a role; the usual ones also as `bos`, `eos`, `eot`, `eom`, `unk`, `sep`, `pad` and
      `newline` (None where the vocabulary has none).
    - `end_of_generation`: the ids that end a generation. `suppressed`: ids that are never to be generated.
    - `attributes`: what kind of token each one is, by id.
    - `add_bos`, `add_eos`: what `add_special` does.
    """

    def __init__(self, vocabulary: Vocabulary, model: TextModel, options: TextOptions) -> None:
        """Put the parts together."""
        self._vocabulary = vocabulary
        self._model = model
        self._options = options
        self._pieces: list[bytes | None] = [None] * len(vocabulary.texts)
        special = [
            SpecialToken(token, vocabulary.texts[token], vocabulary.attributes[token])
            for token in vocabulary.looked_for
        ]
        self._all_special = Partition(special)
        self._shown_special = Partition([each for each in special if not each.attribute & HIDDEN])

    @property
    def n_tokens(self) -> int:
        """The size of the vocabulary."""
        return len(self._vocabulary.texts)

    @property
    def special(self) -> SpecialTokens:
        """The tokens with a role."""
        return self._vocabulary.special

    @property
    def bos(self) -> int | None:
        """The token that begins a text."""
        return self.special.bos

    @property
    def eos(self) -> int | None:
        """The token that ends a text."""
        return self.special.eos

    @property
    def eot(self) -> int | None:
        """The token that ends a turn of a conversation."""
        return self.special.eot

    @property
    def eom(self) -> int | None:
        """The token that ends a message after which the same side goes on."""
        return self.special.eom

    @property
    def unk(self) -> int | None:
        """The token for what is unknown."""
        return self.special.unk

    @property
    def sep(self) -> int | None:
        """The token between two texts."""
        return self.special.sep

    @property
    def pad(self) -> int | None:
        """The token that fills up a batch."""
        return self.special.pad

    @property
    def newline(self) -> int | None:
        """The first token of a line feed."""
        return self._vocabulary.newline

    @property
    def end_of_generation(self) -> frozenset[int]:
        """The tokens that end a generation."""
        return self._vocabulary.end_of_generation

    @property
    def suppressed(self) -> Sequence[int]:
        """The tokens that are never to be generated."""
        return self._vocabulary.suppressed

    @property
    def attributes(self) -> Sequence[TokenAttribute]:
        """What kind of token each token is."""
        return self._vocabulary.attributes

    @property
    def add_bos(self) -> bool:
        """Whether `add_special` puts BOS in front."""
        return self._options.add_bos

    @property
    def add_eos(self) -> bool:
        """Whether `add_special` puts EOS at the end."""
        return self._options.add_eos

    def text(self, token: int) -> str:
        """The token as the vocabulary spells it."""
        return self._vocabulary.texts[self._checked(token)]

    def tokenize(self, text: str | bytes, *, add_special: bool = True, parse_special: bool = False) -> list[int]:
        """The ids of a text, those of llama.cpp's `llama_tokenize`.

        `add_special` adds BOS and EOS if the vocabulary wants them. Without `parse_special`, the texts of control
        tokens are text like any other. Bytes need not be valid UTF-8: byte-level vocabularies see U+FFFD instead of an
        invalid byte, SentencePiece ones the byte.

        Raises TokenizerError if a str has lone surrogates, if BOS or EOS is to be added and there is none, or if the
        vocabulary has no way to spell a character.
        """
        if isinstance(text, bytes):
            text = utf8.escape(text)
        elif utf8.has_invalid_bytes(text):
            raise TokenizerError("the text has lone surrogates, which are no characters; pass bytes, or replace them")
        ids: list[int] = []
        if add_special and self.add_bos:
            ids.append(self._required(self.bos, "BOS", "bos"))
        follows_special = True
        for fragment in (self._all_special if parse_special else self._shown_special).split(text):
            if isinstance(fragment, int):
                ids.append(fragment)
            else:
                ids += self._model.encode(fragment, follows_special=follows_special)
            follows_special = isinstance(fragment, int)
        if add_special and self.add_eos:
            ids.append(self._required(self.eos, "EOS", "eos"))
        return ids

    def detokenize(self, tokens: Iterable[int], *, remove_special: bool = False, render_special: bool = False) -> str:
        """The text of `detokenize_bytes`, with U+FFFD for what is not UTF-8."""
        text = self.detokenize_bytes(tokens, remove_special=remove_special, render_special=render_special)
        return text.decode("utf-8", "replace")

    def detokenize_bytes(
        self, tokens: Iterable[int], *, remove_special: bool = False, render_special: bool = False
    ) -> bytes:
        """The text of some tokens, that of llama.cpp's `llama_detokenize`.

        `remove_special` leaves out BOS and EOS if the vocabulary adds them, `render_special` shows control tokens.
        Of vocabularies that put a space in front of a text, the first space is dropped, unless BOS was left out.

        Raises TokenizerError if an id is outside of the vocabulary.
        """
        ids = list(tokens)
        drops_space = self._options.add_space_prefix
        if remove_special and self.add_bos and ids and ids[0] == self.bos:
            drops_space = False
            del ids[0]
        if remove_special and self.add_eos and ids and ids[-1] == self.eos:
            del ids[-1]
        pieces = [self.piece(token, special=render_special) for token in ids]
        if drops_space and pieces:
            pieces[0] = pieces[0].removeprefix(b" ")
        text = b"".join(pieces)
        return _without_superfluous_spaces(text) if self._options.clean_spaces else text

    def piece(self, token: int, *, special: bool) -> bytes:
        """The bytes of one token, those of `llama_token_to_piece`; control tokens are empty unless `special`.

        Raises TokenizerError if the id is outside of the vocabulary.
        """
        token = self._checked(token)
        if not special and self._vocabulary.attributes[token] & HIDDEN:
            return b""
        piece = self._pieces[token]
        if piece is None:
            piece = self._pieces[token] = self._decode(token)
        return piece

    def _decode(self, token: int) -> bytes:
        text, attribute = self._vocabulary.texts[token], self._vocabulary.attributes[token]
        if attribute & (HIDDEN | TokenAttribute.USER_DEFINED):
            return text.encode()
        if attribute & TokenAttribute.NORMAL:
            return self._model.decode(text)
        # `load_tokenizer` lets no other text pass for a byte than <0xHH>.
        return bytes([int(text[3:5], 16)]) if attribute & TokenAttribute.BYTE else b""

    def _checked(self, token: SupportsIndex) -> int:
        index = operator.index(token)
        if not 0 <= index < self.n_tokens:
            raise TokenizerError(f"token {index} is outside of the vocabulary; allowed are 0 to {self.n_tokens - 1}")
        return index

    def _required(self, token: int | None, name: str, key: str) -> int:
        if token is None:
            raise TokenizerError(
                f"the vocabulary is to add {name} (tokenizer.ggml.add_{key}_token) but has no such token "
                f"(tokenizer.ggml.{key}_token_id); tokenize with add_special=False"
            )
        return token


def _without_superfluous_spaces(text: bytes) -> bytes:
    for pattern, replacement in ((_BEFORE_PUNCTUATION, b""), (_LONE_APOSTROPHE, b"'"), (_BEFORE_CONTRACTION, b"")):
        text = pattern.sub(replacement, text)
    return text
