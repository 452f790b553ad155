"""Perplexity: how well a model foretells a text (llama-perplexity's way of measuring it)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pyggml.engine import Engine
from pyggml.evaluate.base_file import BaseFileWriter
from pyggml.evaluate.chunks import Chunks, evaluate_chunks
from pyggml.evaluate.log_probabilities import Doubles, encoded, negative_log_likelihoods


@dataclass(frozen=True)
class Estimate:
    """The perplexity of the chunks so far."""

    n_chunks: int
    mean: float
    """The mean -ln of a token's probability."""
    mean_error: float | None
    """The standard error of the mean; None if it is too small to be computed."""

    @property
    def perplexity(self) -> float:
        """e to the mean."""
        return math.exp(self.mean)

    @property
    def error(self) -> float | None:
        """The standard error of the perplexity."""
        return None if self.mean_error is None else self.perplexity * self.mean_error


def estimate(likelihoods: Doubles) -> Estimate:
    """What the -ln of all tokens' probabilities, (n_chunks, n), come to."""
    count = likelihoods.size
    mean = float(likelihoods.sum()) / count
    variance = float(np.square(likelihoods).sum()) / count - mean * mean
    error = math.sqrt(variance / (count - 1)) if variance > 0 and count > 1 else None
    return Estimate(len(likelihoods), mean, error)


def measure_perplexity(
    engine: Engine, chunks: Chunks, n_sequences: int, base: BaseFileWriter | None = None
) -> Iterator[Estimate]:
    """The estimate after each chunk; with `base`, all probabilities are written to it."""
    targets = chunks.targets
    likelihoods = np.empty(targets.shape)
    for rows in evaluate_chunks(engine, chunks, n_sequences):
        if base is None:
            likelihoods[rows.place] = negative_log_likelihoods(rows.logits, targets[rows.place])
        else:
            words, likelihoods[rows.place] = encoded(rows.logits, targets[rows.place])
            base.write(rows.chunk, rows.first, words)
        if rows.is_last:
            yield estimate(likelihoods[: rows.chunk + 1])
