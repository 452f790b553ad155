"""Files of a base model's probabilities, as llama-perplexity writes and reads them with --kl-divergence-base.

Layout, little-endian: a magic string; n_ctx, n_vocab and n_chunks as 32-bit integers; the tokens (n_chunks, n_ctx) as
32-bit integers; for each scored position of each chunk a row of `log_probabilities`.
"""

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from pyggml.errors import EvaluationError
from pyggml.evaluate.chunks import Chunks, scored_half
from pyggml.evaluate.log_probabilities import n_code_words

_MAGIC = b"_logits_"
_HEAD = struct.Struct("<8s3i")


@dataclass(frozen=True)
class _Layout:
    """Where the rows of a file are."""

    n_ctx: int
    n_vocab: int
    n_chunks: int

    @property
    def n_rows(self) -> int:
        """Rows of a chunk."""
        return len(scored_half(self.n_ctx))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 2 * n_code_words(self.n_vocab)

    @property
    def n_bytes(self) -> int:
        """Bytes of the file."""
        return self.offset(self.n_chunks, 0)

    def offset(self, chunk: int, row: int) -> int:
        """Where a row begins."""
        return _HEAD.size + 4 * self.n_chunks * self.n_ctx + (chunk * self.n_rows + row) * self.row_bytes


class BaseFileWriter:
    """A context manager that writes a file row by row, in any order; it appears whole or not at all."""

    def __init__(self, path: str | os.PathLike[str], chunks: Chunks, n_vocab: int) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(f"{self._path.name}.{os.getpid()}.partial")
        self._layout = _Layout(chunks.n_ctx, n_vocab, chunks.n_chunks)
        head = _HEAD.pack(_MAGIC, chunks.n_ctx, n_vocab, chunks.n_chunks)
        try:
            self._file = self._partial.open("xb")
            self._file.write(head + chunks.tokens.astype("<i4").tobytes())
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> "BaseFileWriter":
        """Be ready to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the file in its place if all went well, else remove it."""
        try:
            self._file.close()
            if error is None:
                self._partial.replace(self._path)
        except OSError as failure:
            raise self._failed(failure) from None
        finally:
            self._partial.unlink(missing_ok=True)

    def write(self, chunk: int, first: int, words: npt.NDArray[np.uint16]) -> None:
        """Write rows of a chunk, the first of them being its `first`. Raises EvaluationError."""
        try:
            self._file.seek(self._layout.offset(chunk, first))
            self._file.write(words.astype("<u2", copy=False).tobytes())
        except OSError as error:
            raise self._failed(error) from None

    def _failed(self, error: OSError) -> EvaluationError:
        return EvaluationError(f"{self._path}: the probabilities cannot be written: {error.strerror or error}")


class BaseFile:
    """A file that is read: the text of the base model, cut into chunks, and its probabilities."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read all but the probabilities. Raises EvaluationError for what is no such file, or a damaged one."""
        self._path = Path(path)
        try:
            with self._path.open("rb") as file:
                self._layout = _read_layout(self._path, file.read(_HEAD.size), self._path.stat().st_size)
        except OSError as error:
            raise EvaluationError(f"{self._path}: the probabilities cannot be read: {error.strerror}") from None
        data = np.memmap(self._path, np.uint8, "r")
        layout = self._layout
        tokens = data[_HEAD.size : layout.offset(0, 0)].view("<i4").astype(np.int32)
        self.tokens = tokens.reshape(layout.n_chunks, layout.n_ctx)
        rows = data[layout.offset(0, 0) :].view("<u2")
        self._rows = rows.reshape(layout.n_chunks, layout.n_rows, n_code_words(layout.n_vocab))
        self._check_tokens()

    @property
    def n_ctx(self) -> int:
        """Tokens of a chunk."""
        return self._layout.n_ctx

    def check_vocabulary(self, n_vocab: int) -> None:
        """Raise EvaluationError if the base model's vocabulary has another size."""
        if n_vocab != self._layout.n_vocab:
            raise EvaluationError(
                f"{self._path}: the probabilities are those of a vocabulary of {self._layout.n_vocab} tokens, and the "
                f"model has {n_vocab}: write the file again, with a base model that has the same vocabulary"
            )

    def chunks(self, n_max: int, bos: int | None) -> Chunks:
        """The text, `n_max` chunks of it at most; all for -1."""
        tokens = self.tokens if n_max < 0 else self.tokens[:n_max]
        return Chunks(tokens, scored_half(self.n_ctx), bos)

    def rows(self, place: tuple[int, slice]) -> npt.NDArray[np.uint16]:
        """Rows of codes of a chunk."""
        return np.asarray(self._rows[place])

    def _check_tokens(self) -> None:
        n_vocab = self._layout.n_vocab
        if ((self.tokens < 0) | (self.tokens >= n_vocab)).any():
            raise EvaluationError(
                f"{self._path}: the file is damaged: it has tokens outside of its vocabulary of {n_vocab}; write it "
                "again"
            )


def _read_layout(path: Path, head: bytes, n_bytes: int) -> _Layout:
    if not head.startswith(_MAGIC):
        raise EvaluationError(
            f"{path}: these are no probabilities of a base model: needed is a file that --kl-divergence-base wrote"
        )
    if len(head) < _HEAD.size:
        raise EvaluationError(f"{path}: the file is truncated: it ends after {n_bytes} bytes; write it again")
    layout = _Layout(*_HEAD.unpack(head)[1:])
    if layout.n_ctx < 3 or min(layout.n_vocab, layout.n_chunks) < 1:
        raise EvaluationError(
            f"{path}: the file is damaged: it tells of {layout.n_chunks} chunks of {layout.n_ctx} tokens and a "
            f"vocabulary of {layout.n_vocab}; write it again"
        )
    if n_bytes != layout.n_bytes:
        state = "truncated" if n_bytes < layout.n_bytes else "damaged"
        raise EvaluationError(
            f"{path}: the file is {state}: it has {n_bytes} bytes; {layout.n_chunks} chunks of {layout.n_ctx} tokens "
            f"and a vocabulary of {layout.n_vocab} need {layout.n_bytes}; write it again"
        )
    return layout
