"""What sampling needs to know of a vocabulary."""

from collections.abc import Iterable, Sequence
from typing import Protocol


class Vocabulary(Protocol):
    """The tokens that the logits stand for."""

    @property
    def n_tokens(self) -> int:
        """The number of tokens, which is the number of logits."""

    @property
    def end_of_generation(self) -> frozenset[int]:
        """The tokens that end an answer."""

    @property
    def suppressed(self) -> Sequence[int]:
        """The tokens that are never to be chosen."""

    def detokenize_bytes(self, tokens: Iterable[int], *, render_special: bool) -> bytes:
        """Give the text of tokens; that of control tokens only with `render_special`."""

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        """Encode a text, which need not be valid UTF-8."""
