"""Texts as vectors: the normalized states that the model's head would read, pooled."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from pyggml.engine.engine import Engine, Part
from pyggml.errors import PyggmlError, UsageError
from pyggml.kv_cache import PagedSequence

Vectors = npt.NDArray[np.float32]
Pooling = Literal["none", "mean", "cls", "last"]
POOLINGS: tuple[Pooling, ...] = ("none", "mean", "cls", "last")

#: What the largest number becomes if vectors are normalized by it.
_LARGEST = 32760.0


@dataclass(eq=False)
class _Text:
    """A text on its way; its states so far."""

    tokens: Sequence[int]
    sequence: PagedSequence
    states: list[Vectors] = field(default_factory=list)
    n_done: int = 0


class EmbeddingJob:
    """Texts of one client; `future` has their vectors, each (n_vectors, n_embd): one for a token without pooling.

    Advanced step by step on the thread that owns the engine; given up when the future is cancelled.
    """

    def __init__(self, engine: Engine, texts: Iterable[Sequence[int]], pooling: Pooling, n_sequences: int) -> None:
        self.future: Future[list[Vectors]] = Future()
        self._engine = engine
        self._pooling = pooling
        self._n_sequences = n_sequences
        self._texts = [_Text(tokens, engine.new_sequence()) for tokens in texts]
        self._vectors: list[Vectors] = []

    def advance(self, make_room: Callable[[int], None]) -> bool:
        """One step, for which `make_room` frees that many pages; True if the job is over. Never raises."""
        try:
            if not self.future.cancelled():
                self._step(make_room)
                if len(self._vectors) < len(self._texts):
                    return False
                self.future.set_result(self._vectors)
        except Exception as error:  # noqa: BLE001  # it goes to whoever waits for the result
            self.fail(error if isinstance(error, PyggmlError) else PyggmlError(f"the engine failed: {error}"))
        self._release()
        return True

    def fail(self, error: PyggmlError) -> None:
        """Give the job up."""
        self._release()
        if not self.future.cancelled():
            self.future.set_exception(error)

    def _step(self, make_room: Callable[[int], None]) -> None:
        shares = self._shares()
        make_room(sum(text.sequence.n_needed(text.n_done, text.n_done + n) for text, n in shares))
        parts = [
            Part(text.sequence, text.n_done, text.tokens[text.n_done :][:n], self._outputs(text, n))
            for text, n in shares
        ]
        states, first = self._engine.step(parts, has_head=False), 0
        for (text, n), part in zip(shares, parts, strict=True):
            text.states.append(states[first : first + len(part.outputs)].copy())
            first += len(part.outputs)
            text.n_done += n
            if text.n_done == len(text.tokens):
                text.sequence.truncate(0)
                self._vectors.append(self._pooled(np.concatenate(text.states)))

    def _shares(self) -> list[tuple[_Text, int]]:
        """The next texts, in order, that fit into a step, each with how many of its tokens."""
        shares: list[tuple[_Text, int]] = []
        n_left = self._engine.n_batch
        for text in self._texts[len(self._vectors) :][: self._n_sequences]:
            if n := min(len(text.tokens) - text.n_done, n_left):
                shares.append((text, n))
                n_left -= n
        return shares

    def _outputs(self, text: _Text, n: int) -> range:
        """Which of the text's next `n` tokens are wanted, as the pooling has it."""
        if self._pooling == "cls":
            return range(0 if text.n_done else 1)
        if self._pooling == "last":
            return range(n - int(text.n_done + n == len(text.tokens)), n)
        return range(n)

    def _pooled(self, states: Vectors) -> Vectors:
        if self._pooling != "mean":
            return states
        mean: Vectors = states.mean(axis=0, dtype=np.float64, keepdims=True).astype(np.float32)
        return mean

    def _release(self) -> None:
        for text in self._texts:
            text.sequence.truncate(0)


def normalized(vectors: Vectors, kind: int) -> Vectors:
    """Vectors (n, n_embd) divided by a norm: 2 the Euclidean, p another one, 0 the largest number, which then becomes
    32760, -1 none. As llama.cpp has it; vectors of zeros stay so."""
    if kind < -1:
        raise UsageError(f"embd_normalize is {kind}; allowed are -1 (none), 0 (by the largest number) and up (p-norm)")
    if kind == -1:
        return vectors
    sizes = np.abs(vectors.astype(np.float64))
    if kind == 0:
        norms = sizes.max(axis=1) / _LARGEST
    else:
        largest = sizes.max(axis=1, initial=0.0)
        scaled = sizes / np.where(largest > 0, largest, 1.0)[:, None]  # so that no power overflows
        norms = largest * (scaled**kind).sum(axis=1) ** (1 / kind)
    factors = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    # Of a vector of denormal numbers the factor would be infinite as a float.
    factors = np.minimum(factors, np.finfo(np.float32).max).astype(np.float32)
    result: Vectors = vectors * factors[:, None]
    return result
