"""Texts cut into chunks, as llama-perplexity and llama-imatrix cut them, and the logits of their tokens."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyggml.engine import Engine, Observer, Part
from pyggml.errors import EvaluationError
from pyggml.tokenizer import Tokenizer

#: The length of a strided chunk is a multiple of this, as the context of llama.cpp is.
_STRIDED_MULTIPLE = 256


@dataclass(frozen=True)
class Chunks:
    """Stretches of a text, each evaluated on its own, and what of them is looked at."""

    tokens: npt.NDArray[np.int32]
    """(n_chunks, n_ctx)"""
    scored: range
    """The positions whose logits foretell the token after them: those with enough of a context before them."""
    bos: int | None
    """What the first token of each chunk is replaced by when it is evaluated."""

    @property
    def n_chunks(self) -> int:
        """How many there are."""
        return len(self.tokens)

    @property
    def n_ctx(self) -> int:
        """Tokens in each of them."""
        return int(self.tokens.shape[1])

    @property
    def targets(self) -> npt.NDArray[np.int32]:
        """The tokens to be foretold, (n_chunks, len(scored))."""
        return self.tokens[:, self.scored.start + 1 : self.scored.stop + 1]

    def evaluated(self, first: int, n: int) -> npt.NDArray[np.int32]:
        """The tokens that the model is fed with for the `first` chunk and those behind it, (n or what is left, n_ctx)."""
        tokens = self.tokens[first : first + n].copy()
        if self.bos is not None:
            tokens[:, 0] = self.bos
        return tokens


@dataclass(frozen=True)
class Rows:
    """Logits of consecutive positions of a chunk."""

    chunk: int
    first: int
    """The first of them, as an index into the wanted positions."""
    is_last: bool
    """Whether they complete the chunk."""
    logits: npt.NDArray[np.float32]
    """(n, n_vocab)"""

    @property
    def place(self) -> tuple[int, slice]:
        """Where they belong in an array (n_chunks, wanted positions)."""
        return self.chunk, slice(self.first, self.first + len(self.logits))


def scored_half(n_ctx: int) -> range:
    """The second half of a chunk, without its last token, which foretells nothing that is known."""
    return range(n_ctx // 2, n_ctx - 1)


def chunk_bos(tokenizer: Tokenizer) -> int | None:
    """What chunks begin with, if the vocabulary wants its texts to begin with BOS.

    Raises EvaluationError for a vocabulary that wants EOS behind its texts, which chunks cannot have.
    """
    if tokenizer.add_eos:
        raise EvaluationError(
            "tokenizer.ggml.add_eos_token is set: the text would be cut into chunks that end without EOS; allowed are "
            "vocabularies that add none"
        )
    return tokenizer.bos if tokenizer.add_bos else None


def cut_chunks(tokens: list[int], n_ctx: int, n_max: int, bos: int | None) -> Chunks:
    """Chunks side by side, `n_max` at most, all that there are for -1; EvaluationError if the text is too short."""
    _check_length(tokens, n_ctx)
    n_chunks = _limited(len(tokens) // n_ctx, n_max)
    cut = np.array(tokens[: n_chunks * n_ctx], np.int32).reshape(n_chunks, n_ctx)
    return Chunks(cut, scored_half(n_ctx), bos)


def strided_length(n_ctx: int, stride: int) -> int:
    """The length of chunks that begin `stride` tokens apart: llama.cpp's whole context, made for one sequence."""
    return -(-(n_ctx + stride // 2) // _STRIDED_MULTIPLE) * _STRIDED_MULTIPLE


def strided_chunks(tokens: list[int], n_ctx: int, stride: int, n_max: int) -> Chunks:
    """Chunks that begin `stride` tokens apart, of each of which the last `stride` tokens count.

    As in llama.cpp, none of them begins with BOS, but for the first. Raises EvaluationError if the text is too short.
    """
    length = strided_length(n_ctx, stride)
    _check_length(tokens, length)
    n_chunks = _limited(-(-(len(tokens) - length) // stride), n_max)
    windows = np.lib.stride_tricks.sliding_window_view(np.array(tokens, np.int32), length)
    return Chunks(windows[: n_chunks * stride : stride], range(length - stride - 1, length - 1), None)


def _limited(n_chunks: int, n_max: int) -> int:
    return n_chunks if n_max < 0 else min(n_chunks, n_max)


def _check_length(tokens: list[int], n_ctx: int) -> None:
    if len(tokens) < 2 * n_ctx:
        raise EvaluationError(
            f"the text has {len(tokens)} tokens; with chunks of {n_ctx} at least {2 * n_ctx} are needed: give a longer "
            "text, or a smaller context with -c"
        )


def evaluate_chunks(
    engine: Engine, chunks: Chunks, wanted: range, n_sequences: int, observer: Observer | None = None
) -> Iterator[Rows]:
    """Feed the chunks to the model, `n_sequences` of them at a time, and give the logits of the wanted positions.

    The tokens of a step are shared out evenly among the chunks, in llama.cpp's order. Chunks are completed in order.
    """
    sequences = [engine.new_sequence() for _ in range(min(n_sequences, engine.n_batch))]
    try:
        for first in range(0, chunks.n_chunks, len(sequences)):
            together = chunks.evaluated(first, len(sequences)).tolist()
            n_step = engine.n_batch // len(together)
            for start in range(0, chunks.n_ctx, n_step):
                stop = min(start + n_step, chunks.n_ctx)
                outputs = range(max(start, wanted.start) - start, max(start, min(stop, wanted.stop)) - start)
                parts = [
                    Part(sequence, start, tokens[start:stop], outputs)
                    for sequence, tokens in zip(sequences, together, strict=False)
                ]
                logits = engine.step(parts, observer=observer)
                for index, rows in enumerate(np.split(logits, len(together)) if outputs else ()):
                    position = start + outputs.start
                    is_last = position + len(outputs) == wanted.stop
                    yield Rows(first + index, position - wanted.start, is_last, rows)
    finally:
        for sequence in sequences:
            sequence.truncate(0)
