"""Pictures in a context: each takes a run of tokens, whose embeddings a vision tower gives.

In lists of tokens a picture's tokens are a number below 0 that follows from what the tower made of it. So contexts are
compared as those of text are: two prompts share their beginning up to where their pictures differ.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Picture:
    """What a tower made of a picture: a vector for each merged patch, row by row."""

    vectors: Floats
    """(n_rows * n_columns, n_embd)"""
    n_rows: int
    n_columns: int

    @property
    def n_tokens(self) -> int:
        """Tokens that it takes."""
        return self.n_rows * self.n_columns

    @property
    def n_positions(self) -> int:
        """How far the text behind it is from the text before it: the longer side."""
        return max(self.n_rows, self.n_columns)

    @cached_property
    def token(self) -> int:
        """What stands for each of its tokens, below 0."""
        digest = hashlib.sha256(f"{self.n_rows} {self.n_columns}\n".encode() + self.vectors.tobytes()).digest()
        return -1 - (int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True, eq=False)
class PlacedPictures:
    """The pictures of a context, in order, each with the index of its first token."""

    places: tuple[tuple[int, Picture], ...] = ()

    def covers(self, index: int, token: int) -> bool:
        """Whether the token at an index is that of the picture there."""
        return any(
            start <= index < start + picture.n_tokens and token == picture.token for start, picture in self.places
        )

    def positions(self, first: int, n: int) -> Integers:
        """Time, row and column (n, 3) of the tokens from `first` on: in text all the same, and in a picture counted
        from the text before it; a picture lies at one time."""
        index = np.arange(first, first + n)
        result = np.repeat(index[:, None], 3, axis=1)
        for start, picture in self.places:
            inside = (index >= start) & (index < start + picture.n_tokens)
            # The position of the picture's first token: all before it have been moved by now.
            begin = start + self._shift_before(start)
            rows, columns = np.divmod(index[inside] - start, picture.n_columns)
            result[inside] = begin + np.stack([np.zeros_like(rows), rows, columns], axis=1)
            result[index >= start + picture.n_tokens] += picture.n_positions - picture.n_tokens
        return result.astype(np.int32)

    def _shift_before(self, index: int) -> int:
        return sum(picture.n_positions - picture.n_tokens for start, picture in self.places if start < index)

    def vectors(self, first: int, n: int) -> tuple[Floats | None, Integers]:
        """The vectors that stand for tokens from `first` to `first + n` - 1, and for each token (n,) which: -1 for
        text. None instead of vectors if all of it is text."""
        rows, parts = np.full(n, -1, np.int32), list[Floats]()
        n_found = 0
        for start, picture in self.places:
            low, high = max(first, start), min(first + n, start + picture.n_tokens)
            if low < high:
                parts.append(picture.vectors[low - start : high - start])
                rows[low - first : high - first] = np.arange(n_found, n_found + high - low)
                n_found += high - low
        return (np.concatenate(parts) if parts else None), rows


NO_PICTURES = PlacedPictures()


@dataclass(frozen=True, eq=False)
class Prompt:
    """Tokens to continue from, and the pictures among them."""

    tokens: tuple[int, ...]
    pictures: PlacedPictures = NO_PICTURES


def unknown_tokens(tokens: Sequence[int], pictures: PlacedPictures, n_vocab: int) -> list[int]:
    """The tokens that are neither in a vocabulary of so many nor a picture's."""
    return [
        token for index, token in enumerate(tokens) if not 0 <= token < n_vocab and not pictures.covers(index, token)
    ]


def text_tokens(tokens: Sequence[int]) -> list[int]:
    """The tokens that are not a picture's."""
    return [token for token in tokens if token >= 0]
