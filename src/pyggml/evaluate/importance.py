"""Measuring how much the columns of weights count: sums of squares of what they are multiplied with (llama-imatrix)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pyggml.engine import Engine, Observer
from pyggml.errors import EvaluationError
from pyggml.evaluate.chunks import Chunks, evaluate_chunks
from pyggml.evaluate.log_probabilities import Floats, negative_log_likelihoods
from pyggml.evaluate.perplexity import Estimate, estimate
from pyggml.quantize.importance_file import ImportanceFile, Sums

#: As in llama-imatrix: fewer rows are not a text, but single tokens.
MIN_ROWS = 16


@dataclass
class ImportanceMatrix:
    """Sums by weight, from files and from texts; those of an observer are brought in by `take`."""

    chunk_size: int
    """Tokens of a chunk."""
    datasets: list[str] = field(default_factory=list)
    entries: dict[str, Sums] = field(default_factory=dict)

    @property
    def n_chunks(self) -> int:
        """Chunks that the sums come from, to the nearest."""
        n_rows = max((int(sums.counts.max()) for sums in self.entries.values()), default=0)
        return (n_rows + self.chunk_size // 2) // self.chunk_size

    @property
    def file(self) -> ImportanceFile:
        """What is to be written."""
        return ImportanceFile(self.entries, tuple(self.datasets), self.n_chunks, self.chunk_size)

    def add(self, path: str, file: ImportanceFile) -> None:
        """Add what another measurement came to. `path` is for messages.

        Raises EvaluationError if it is one of a model of another shape.
        """
        for name, sums in file.entries.items():
            if file.chunk_size is None:
                sums = Sums(sums.squares * np.float32(self.chunk_size), sums.counts * self.chunk_size, None)
            before = self.entries.get(name)
            self.entries[name] = sums if before is None else _added(path, name, before, sums)
        self.datasets += file.datasets

    def observer(self, engine: Engine, with_output: bool) -> Observer:
        """An observer that goes on from these sums; of the layers' matrices, and of the output's if wanted.

        Raises EvaluationError if the model's shape is not that of the sums.
        """
        names = [name for name in engine.matrix_names if with_output or name.startswith("blk.")]
        observer = engine.observer(names, MIN_ROWS)
        for name, target in observer.sums.items():
            if name in self.entries:
                _continue(name, target.squares, self.entries[name].squares)
                values = self.entries[name].values
                target.values[:] = 0 if values is None else values
                target.count[:] = self.entries[name].counts.max()
        return observer

    def take(self, observer: Observer) -> None:
        """Put an observer's sums, if there were any rows, in the place of those that it went on from.

        Raises EvaluationError if they are not finite.
        """
        for name, sums in observer.sums.items():
            if not sums.count[0]:
                continue
            if not np.isfinite(sums.squares).all():
                raise EvaluationError(
                    f"the activations that {name!r} is multiplied with are not finite, or too large: the model is "
                    "damaged, or the text lies beyond its context"
                )
            before = self.entries.get(name)
            # What went on from a file without the sums of values has no such sums either.
            has_values = before is None or before.values is not None
            self.entries[name] = Sums(sums.squares, sums.count, sums.values if has_values else None)


def measure_importance(
    engine: Engine,
    chunks: Chunks,
    n_sequences: int,
    matrix: ImportanceMatrix,
    *,
    with_output: bool = False,
    with_perplexity: bool = True,
) -> Iterator[Estimate | None]:
    """Add what the chunks come to, giving the perplexity, if wanted, after each of them."""
    observer = matrix.observer(engine, with_output)
    if not with_perplexity:
        chunks = replace(chunks, scored=range(0))
    targets = chunks.targets
    likelihoods = np.empty(targets.shape)
    for rows in evaluate_chunks(engine, chunks, n_sequences, observer, all_outputs=with_output):
        likelihoods[rows.place] = negative_log_likelihoods(rows.logits, targets[rows.place])
        if rows.is_last:
            matrix.take(observer)
            yield estimate(likelihoods[: rows.chunk + 1]) if with_perplexity else None


def combined(files: Sequence[tuple[str, ImportanceFile]], chunk_size: int) -> ImportanceMatrix:
    """Files, each with its path, added up; chunks are as long as in the first that tells it, else `chunk_size`.

    Raises EvaluationError for files of different models.
    """
    known = [file.chunk_size for _, file in files if file.chunk_size]
    matrix = ImportanceMatrix(known[0] if known else chunk_size)
    for path, file in files:
        matrix.add(path, file)
    return matrix


def _added(path: str, name: str, left: Sums, right: Sums) -> Sums:
    if left.squares.size != right.squares.size or left.counts.size != right.counts.size:
        raise EvaluationError(
            f"{path}: {name!r} has {right.squares.size} sums and {right.counts.size} counts; the files before have "
            f"{left.squares.size} and {left.counts.size}: combine files of one model"
        )
    values = None if left.values is None or right.values is None else left.values + right.values
    return Sums(left.squares + right.squares, left.counts + right.counts, values)


def _continue(name: str, target: Floats, found: Floats) -> None:
    if target.size != found.size:
        raise EvaluationError(
            f"{name!r} has {found.size} sums in the files to go on from; the model's weight has {target.size} columns: "
            "take files of this model"
        )
    target[:] = found
