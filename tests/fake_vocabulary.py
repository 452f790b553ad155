"""A vocabulary for tests of sampling, made of given pieces."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class FakeVocabulary:
    """Token i has the i-th piece, or none if there are fewer; text is encoded one byte a token."""

    n_tokens: int
    end_of_generation: frozenset[int] = frozenset()
    suppressed: tuple[int, ...] = ()
    pieces: tuple[bytes, ...] = ()

    def detokenize_bytes(self, tokens: Iterable[int], *, render_special: bool) -> bytes:
        assert render_special
        return b"".join(self.pieces[token] for token in tokens if token < len(self.pieces))

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        assert not add_special
        assert not parse_special
        return list(text)
