"""Contexts whose place in the cache was needed, kept in the computer's memory: one that is copied back costs little."""

from collections import OrderedDict
from collections.abc import Sequence

from pyggml.engine.contexts import n_common

#: Positions from which on a context is worth copying.
LEAST_SPILLED = 64


class SpilledContexts:
    """Tokens with the bytes of their keys and values, `max_bytes` of these at most; None for any number.

    Those that were kept or used least recently are given up first.
    """

    def __init__(self, max_bytes: int | None) -> None:
        self._max_bytes = max_bytes
        self._data: OrderedDict[tuple[int, ...], bytes] = OrderedDict()
        self.n_bytes = 0

    def __len__(self) -> int:
        """The number of contexts."""
        return len(self._data)

    def wants(self, n_tokens: int, n_bytes: int) -> bool:
        """Whether a context of this size is kept at all."""
        return n_tokens >= LEAST_SPILLED and (self._max_bytes is None or n_bytes <= self._max_bytes)

    def put(self, tokens: Sequence[int], data: bytes) -> None:
        """Keep a context; those that it contains are given up."""
        for other in [other for other in self._data if n_common(other, tuple(tokens)) == len(other)]:
            self.take(other)
        self._data[tuple(tokens)] = data
        self.n_bytes += len(data)
        while self._max_bytes is not None and self.n_bytes > self._max_bytes:
            self.take(next(iter(self._data)))

    def longest(self, tokens: Sequence[int]) -> tuple[tuple[int, ...], int]:
        """The tokens of the context that shares the longest beginning with these, and its length."""
        given = tuple(tokens)
        shared = ((n_common(kept, given), kept) for kept in self._data)
        n, kept = max(shared, key=lambda each: each[0], default=(0, ()))
        return kept, n

    def get(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of a context, which is now the one used last."""
        self._data.move_to_end(tokens)
        return self._data[tokens]

    def take(self, tokens: tuple[int, ...]) -> bytes:
        """The bytes of a context, which is no longer kept."""
        data = self._data.pop(tokens)
        self.n_bytes -= len(data)
        return data

    def clear(self) -> None:
        """Give up all of them."""
        self._data.clear()
        self.n_bytes = 0
