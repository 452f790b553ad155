"""llama.cpp's tokenizers, opened from a GGUF file without its weights."""

import ctypes
import os
from collections.abc import Sequence
from enum import IntFlag
from types import TracebackType

import numpy as np

from pyggml_reference.library import OracleError, library
from pyggml_reference.loading import open_model

SPECIAL_TOKENS = (
    *("bos", "eos", "eot", "sep", "nl", "pad", "mask"),
    *("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep"),
)


class TokenAttribute(IntFlag):
    """`llama_token_attr`: what kind of token it is, and how text around it is stripped."""

    UNDEFINED = 0
    UNKNOWN = 1 << 0
    UNUSED = 1 << 1
    NORMAL = 1 << 2
    CONTROL = 1 << 3
    USER_DEFINED = 1 << 4
    BYTE = 1 << 5
    NORMALIZED = 1 << 6
    LSTRIP = 1 << 7
    RSTRIP = 1 << 8
    SINGLE_WORD = 1 << 9


class ReferenceVocabulary:
    """The vocabulary of a GGUF file; a context manager, freed on exit or by `close`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Open the file vocab-only. Raises OracleError if llama.cpp cannot."""
        self._model: int | None = open_model(path, vocab_only=True, repack=False)
        self._handle: int = library().llama_model_get_vocab(self._model)

    def __enter__(self) -> "ReferenceVocabulary":
        """Give the open vocabulary."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free it."""
        self.close()

    def close(self) -> None:
        """Free the vocabulary; harmless when done before."""
        if self._model:
            library().llama_model_free(self._model)
            self._model = None

    @property
    def pointer(self) -> int:
        """The `llama_vocab *`, for samplers that need one; valid while this object is open."""
        if not self._model:
            raise OracleError("the vocabulary is closed")
        return self._handle

    @property
    def n_tokens(self) -> int:
        """The number of tokens."""
        return int(library().llama_vocab_n_tokens(self.pointer))

    @property
    def add_bos(self) -> bool:
        """Whether `add_special` puts BOS in front."""
        return bool(library().llama_vocab_get_add_bos(self.pointer))

    @property
    def add_eos(self) -> bool:
        """Whether `add_special` puts EOS at the end."""
        return bool(library().llama_vocab_get_add_eos(self.pointer))

    def special(self, name: str) -> int | None:
        """Give the id of one of SPECIAL_TOKENS, None if the vocabulary has no such token."""
        if name not in SPECIAL_TOKENS:
            raise OracleError(f"no special token is called {name!r}; known: {', '.join(SPECIAL_TOKENS)}")
        token = int(getattr(library(), f"llama_vocab_{name}")(self.pointer))
        return None if token < 0 else token

    def special_ids(self) -> dict[str, int | None]:
        """Give the ids of all SPECIAL_TOKENS."""
        return {name: self.special(name) for name in SPECIAL_TOKENS}

    def is_eog(self, token: int) -> bool:
        """Tell whether generation ends with this token."""
        return bool(library().llama_vocab_is_eog(self.pointer, self._checked(token)))

    def attributes(self, token: int) -> TokenAttribute:
        """Give the attributes of a token."""
        return TokenAttribute(library().llama_vocab_get_attr(self.pointer, self._checked(token)))

    def text(self, token: int) -> bytes:
        """Give the token as the file spells it, before any decoding."""
        return bytes(library().llama_vocab_get_text(self.pointer, self._checked(token)))

    def score(self, token: int) -> float:
        """Give the score of a token."""
        return float(library().llama_vocab_get_score(self.pointer, self._checked(token)))

    def tokenize(self, text: str | bytes, add_special: bool = False, parse_special: bool = False) -> list[int]:
        """Encode a text by llama_tokenize."""
        data = text.encode() if isinstance(text, str) else text
        capacity = len(data) + 2  # no token is shorter than a byte; BOS and EOS come on top
        while True:
            tokens = np.empty(capacity, np.int32)
            n = library().llama_tokenize(
                self.pointer, data, len(data), tokens.ctypes.data, capacity, add_special, parse_special
            )
            if n >= 0:
                return [int(token) for token in tokens[:n]]
            capacity = -n

    def token_to_piece(self, token: int, special: bool = True) -> bytes:
        """Give the bytes of one token; control tokens are empty unless `special`."""
        capacity = 64
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            n = library().llama_token_to_piece(self.pointer, self._checked(token), buffer, capacity, 0, special)
            if n >= 0:
                return buffer.raw[:n]
            capacity = -n

    def detokenize(self, ids: Sequence[int], remove_special: bool = False, unparse_special: bool = False) -> bytes:
        """Decode tokens by llama_detokenize; control tokens appear only with `unparse_special`."""
        tokens = np.array([self._checked(token) for token in ids], np.int32)
        capacity = 16 * len(tokens) + 16
        while True:
            buffer = ctypes.create_string_buffer(capacity)
            n = library().llama_detokenize(
                self.pointer, tokens.ctypes.data, len(tokens), buffer, capacity, remove_special, unparse_special
            )
            if n >= 0:
                return buffer.raw[:n]
            capacity = -n

    def _checked(self, token: int) -> int:
        if not 0 <= token < self.n_tokens:
            raise OracleError(f"token {token} is outside of the vocabulary of {self.n_tokens}")
        return token
