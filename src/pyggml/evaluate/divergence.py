"""How far a model's probabilities are from those of a base model: the Kullback-Leibler divergence and its company.

The statistics are llama-perplexity's, with its roundings to floats.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pyggml.engine import Engine
from pyggml.evaluate.base_file import BaseFile
from pyggml.evaluate.chunks import Chunks, evaluate_chunks
from pyggml.evaluate.log_probabilities import Doubles, Floats, chosen, decoded, normalized, row_blocks

#: Below this, the logarithm of a base probability counts for nothing: codes reach no farther.
_LEAST = np.float32(-16)
#: Values of which an uncertainty is given.
_MIN_FOR_ERROR = 11
_MIN_FOR_COVARIANCE = 10


@dataclass(frozen=True)
class Measured:
    """A value and its standard error."""

    value: float
    error: float

    def exponential(self) -> "Measured":
        """e to the value."""
        value = math.exp(self.value)
        return Measured(value, value * self.error)

    def root(self) -> "Measured":
        """The square root of the value."""
        value = math.sqrt(self.value)
        return Measured(value, 0.5 / value * self.error if value else 0.0)


@dataclass(frozen=True)
class Comparison:
    """What is known of each scored token, in arrays of one shape."""

    likelihood: Floats
    """-ln of the token's probability"""
    base_likelihood: Floats
    """the same by the base model"""
    divergence: Doubles
    """the divergence of all probabilities from the base model's"""
    difference: Floats
    """the token's probability less that by the base model"""
    same_top: npt.NDArray[np.bool_]
    """whether both models find the same token the most probable"""

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> "Comparison":
        """Room for so many tokens."""
        floats = [np.empty(shape, np.float32) for _ in range(3)]
        return cls(floats[0], floats[1], np.empty(shape), floats[2], np.empty(shape, np.bool_))

    def put(self, place: slice | tuple[int, slice], part: "Comparison") -> None:
        """Store what is known of some tokens."""
        for name, values in vars(part).items():
            getattr(self, name)[place] = values

    def first(self, n_chunks: int) -> "Comparison":
        """The first chunks alone."""
        return Comparison(**{name: values[:n_chunks] for name, values in vars(self).items()})

    @property
    def count(self) -> int:
        """How many tokens."""
        return self.likelihood.size


@dataclass(frozen=True)
class Statistics:
    """What the tokens so far come to."""

    n_chunks: int
    log_perplexity: Measured
    base_log_perplexity: Measured
    log_ratio: Measured
    """of the model's perplexity to the base model's"""
    difference: Measured
    """of the perplexities"""
    correlation: float
    divergence: Measured
    probability_difference: Measured
    probability_rms: Measured
    """the root of the mean square of the differences of probabilities"""
    same_top: Measured


def compare(logits: Floats, targets: npt.NDArray[np.int32], words: npt.NDArray[np.uint16]) -> Comparison:
    """Rows of logits (n, n_vocab), each with its target, against the base model's rows of codes."""
    result = Comparison.empty((len(logits),))
    for rows in row_blocks(*logits.shape):
        result.put(rows, _compare_block(logits[rows], targets[rows], words[rows]))
    return result


def _compare_block(logits: Floats, targets: npt.NDArray[np.int32], words: npt.NDArray[np.uint16]) -> Comparison:
    block = normalized(logits)
    total = block.maximum + block.log_sum.astype(np.float32)
    base = decoded(words, logits.shape[1])
    likelihood = total - chosen(logits, targets)
    base_likelihood = -chosen(base, targets)
    weights = np.where(base > _LEAST, np.exp(base), np.float32(0))
    same_top = logits.argmax(axis=1) == base.argmax(axis=1)
    np.subtract(base, logits, out=base)
    np.add(base, total[:, None], out=base)
    np.multiply(weights, base, out=weights)
    difference = np.exp(-likelihood) - np.exp(-base_likelihood)
    return Comparison(likelihood, base_likelihood, weights.sum(axis=1, dtype=np.float64), difference, same_top)


def measure_divergence(
    engine: Engine, chunks: Chunks, n_sequences: int, base: BaseFile
) -> Iterator[tuple[Statistics, Comparison]]:
    """The statistics after each chunk, and what they were made from."""
    targets = chunks.targets
    all_tokens = Comparison.empty(targets.shape)
    for rows in evaluate_chunks(engine, chunks, n_sequences):
        all_tokens.put(rows.place, compare(rows.logits, targets[rows.place], base.rows(rows.place)))
        if rows.is_last:
            so_far = all_tokens.first(rows.chunk + 1)
            yield statistics(so_far), so_far


def statistics(tokens: Comparison) -> Statistics:
    """Means, errors and correlations; the squares of floats are floats, all sums are in double."""
    count = tokens.count
    ours, base = tokens.likelihood, tokens.base_likelihood
    mean, base_mean = _mean(ours, ours * ours), _mean(base, base * base)
    covariance = 0.0
    if count >= _MIN_FOR_COVARIANCE:
        covariance = (_average(ours * base) - _average(ours) * _average(base)) / (count - 1)
    ppl, base_ppl = mean.exponential(), base_mean.exponential()
    squares = (tokens.difference * tokens.difference).astype(np.float64)
    same = float(tokens.same_top.mean())
    spread = mean.error * base_mean.error
    return Statistics(
        n_chunks=len(ours),
        log_perplexity=mean,
        base_log_perplexity=base_mean,
        log_ratio=_difference(mean, base_mean, covariance),
        difference=_difference(ppl, base_ppl, ppl.value * base_ppl.value * covariance),
        correlation=covariance / spread if spread else math.nan,
        divergence=_mean(tokens.divergence, np.square(tokens.divergence)),
        probability_difference=_mean(tokens.difference, squares),
        probability_rms=_mean(squares, np.square(squares)).root(),
        same_top=Measured(same, math.sqrt(same * (1 - same) / (count - 1)) if count > 1 else 0.0),
    )


def percentile(ordered: Floats, fraction: float) -> float:
    """The value below which a fraction of sorted values lies, between two of them in proportion; all in float."""
    place = np.float32(fraction) * np.float32(len(ordered) - 1)
    index = int(place)
    rest = place - np.float32(index)
    following = ordered[min(index + 1, len(ordered) - 1)]
    return float((np.float32(1) - rest) * ordered[index] + rest * following)


def median(ordered: Floats) -> float:
    """The value in the middle of sorted values."""
    half = len(ordered) // 2
    return float(ordered[half] if len(ordered) % 2 else np.float32(0.5) * (ordered[half] + ordered[half - 1]))


def _average(values: npt.NDArray[np.floating[Any]]) -> float:
    return float(values.sum(dtype=np.float64)) / values.size


def _mean(values: npt.NDArray[np.floating[Any]], squares: npt.NDArray[np.floating[Any]]) -> Measured:
    mean = _average(values)
    variance = _average(squares) - mean * mean
    has_error = variance > 0 and values.size >= _MIN_FOR_ERROR
    return Measured(mean, math.sqrt(variance / (values.size - 1)) if has_error else 0.0)


def _difference(left: Measured, right: Measured, covariance: float) -> Measured:
    """The difference of two values that go together."""
    variance = left.error**2 + right.error**2 - 2 * covariance
    # Rounding can leave a little less than nothing.
    return Measured(left.value - right.value, math.sqrt(max(0.0, variance)))
