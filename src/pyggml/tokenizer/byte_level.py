"""Byte-level BPE: the vocabularies that GGUF files call `gpt2`.

Tokens are spelled in an alphabet of 256 printable characters, one for each byte (Radford et al. 2019, "Language Models
are Unsupervised Multitask Learners").
"""

from collections.abc import Mapping
from types import MappingProxyType

from pyggml.tokenizer import utf8
from pyggml.tokenizer.merging import MergeTable
from pyggml.tokenizer.pre_tokenizers import PreTokenizer, Splitter
from pyggml.tokenizer.word_cache import WordCache


def _byte_alphabet() -> str:
    """The character of each byte: itself if Latin-1 prints it, else the next free one from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    replacements = iter(range(0x100, 0x200))
    return "".join(chr(byte if byte in printable else next(replacements)) for byte in range(0x100))


BYTE_ALPHABET = _byte_alphabet()
_BYTES: Mapping[str, int] = MappingProxyType({character: byte for byte, character in enumerate(BYTE_ALPHABET)})


def spelled(text: str) -> str:
    """The UTF-8 bytes of a text, lone surrogates allowed, in BYTE_ALPHABET."""
    return text.encode("utf-8", "surrogatepass").decode("latin-1").translate(BYTE_ALPHABET)


class ByteLevelModel:
    """Encodes texts without special tokens, and decodes ordinary tokens."""

    def __init__(self, ids: Mapping[str, int], merges: list[str], pre_tokenizer: PreTokenizer) -> None:
        """Use the ids of all tokens, and merge rules "left right", the strongest first."""
        # Of equal rules the first counts; reversed, it is the one that stays.
        ranks = dict(zip(reversed(merges), range(len(merges) - 1, -1, -1), strict=True))
        self._ids = ids
        self._merges = MergeTable(ranks, " ")
        self._ignores_merges = pre_tokenizer.ignore_merges
        self._splitter = Splitter(pre_tokenizer.templates)
        self._words = WordCache(self._encode_word)

    def encode(self, text: str, *, follows_special: bool) -> list[int]:
        """The ids of a text in which invalid bytes are escaped, see `utf8`; what stands before makes no difference."""
        if utf8.has_invalid_bytes(text):
            text = utf8.with_replacements(text)
        return self._words.encode_all(self._splitter.split(text))

    def decode(self, token_text: str) -> bytes:
        """The bytes of an ordinary token; characters outside of the alphabet are named as llama.cpp names them."""
        try:
            return bytes([_BYTES[character] for character in token_text])
        except KeyError:
            return b"".join(_decode_character(character, token_text) for character in token_text)

    def _encode_word(self, word: str) -> tuple[int, ...]:
        spelling = spelled(word)
        if self._ignores_merges and spelling in self._ids:
            return (self._ids[spelling],)
        ids: list[int] = []
        for symbol in self._merges.merge(spelling):
            # A rule may make a symbol that is no token: of its characters only those count that are one byte long.
            parts = [symbol] if symbol in self._ids else [part for part in symbol if part.isascii()]
            ids.extend(self._ids[part] for part in parts if part in self._ids)
        return tuple(ids)


def _decode_character(character: str, token_text: str) -> bytes:
    if character in _BYTES:
        return bytes([_BYTES[character]])
    return f"[UNK_BYTE_0x{character.encode().hex()}{token_text}]".encode()
