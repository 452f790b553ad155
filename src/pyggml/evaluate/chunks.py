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
        """The tokens that the model is fed with for `n` chunks, or what is left of them, from the `first` on."""
        tokens = self.tokens[first : first + n].copy()
        if self.bos is not None:
            tokens[:, 0] = self.bos
        return tokens


@dataclass(frozen=True)
class Rows:
    """Logits of consecutive positions of a chunk."""

    chunk: int
    first: int
    """The first of them, as an index into the scored positions."""
    is_last: bool
    """Whether the chunk is done with them."""
    logits: npt.NDArray[np.float32]
    """(n, n_vocab), valid until the next rows are asked for."""

    @property
    def place(self) -> tuple[int, slice]:
        """Where they belong in an array (n_chunks, scored positions)."""
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


def without_first(tokens: list[int], n_ctx: int, n_chunks: int) -> list[int]:
    """What is left when so many chunks are skipped; EvaluationError if that is too little."""
    if n_chunks and (n_chunks + 2) * n_ctx >= len(tokens):
        raise EvaluationError(
            f"the text has {len(tokens)} tokens; to skip {n_chunks} chunks of {n_ctx}, more than "
            f"{(n_chunks + 2) * n_ctx} are needed: skip fewer with --chunk"
        )
    return tokens[n_chunks * n_ctx :]


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


def _overlap(left: range, right: range) -> range:
    start = min(max(left.start, right.start), left.stop)
    return range(start, max(start, min(left.stop, right.stop)))


def evaluate_chunks(
    engine: Engine, chunks: Chunks, n_sequences: int, observer: Observer | None = None, *, all_outputs: bool = False
) -> Iterator[Rows]:
    """Feed the chunks to the model, `n_sequences` of them at a time, and give the logits of the scored positions.

    The tokens of a step are shared out evenly among the chunks, in llama.cpp's order; each step gives the rows, if only
    none, of each of its chunks. With `all_outputs`, the logits of the other positions are computed too: for observers.
    """
    sequences = [engine.new_sequence() for _ in range(min(n_sequences, engine.n_batch))]
    try:
        for first in range(0, chunks.n_chunks, len(sequences)):
            together = chunks.evaluated(first, len(sequences)).tolist()
            n_step = engine.n_batch // len(together)
            for start in range(0, chunks.n_ctx, n_step):
                stop = min(start + n_step, chunks.n_ctx)
                scored = _overlap(range(start, stop), chunks.scored)
                outputs = range(start, stop) if all_outputs else scored
                parts = [
                    Part(sequence, start, tokens[start:stop], [position - start for position in outputs])
                    for sequence, tokens in zip(sequences, together, strict=False)
                ]
                logits = engine.step(parts, observer=observer)
                for index, rows in enumerate(np.split(logits, len(together))):
                    given = rows[scored.start - outputs.start :][: len(scored)]
                    row = max(0, scored.start - chunks.scored.start)
                    yield Rows(first + index, row, stop == chunks.n_ctx, given)
    finally:
        for sequence in sequences:
            sequence.truncate(0)
