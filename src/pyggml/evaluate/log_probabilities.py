"""From logits to logarithms of probabilities, with the roundings of llama.cpp, and their 16-bit codes.

A row of codes is that of the files of llama-perplexity: the distance between two codes and the least value as floats,
then a code for each token of the vocabulary, and one more if their number is odd.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

#: What is less probable than the most probable token by more than this, as a logarithm, gets the least code.
_RANGE = np.float32(16)
_MAX_CODE = np.float32(65535)
#: Numbers worked on at a time: few enough for a processor's cache.
_NUMBERS_AT_ONCE = 1 << 20
#: Words before the codes of a row: two floats.
HEAD_WORDS = 4


@dataclass(frozen=True)
class Normalized:
    """What makes probabilities of rows of logits, each (n,)."""

    maximum: Floats
    log_sum: Doubles
    """The logarithm of the sum of all exp(logit - maximum)."""


def n_code_words(n_vocab: int) -> int:
    """16-bit words in a row of codes."""
    return HEAD_WORDS + 2 * ((n_vocab + 1) // 2)


def row_blocks(n_rows: int, n_vocab: int) -> Iterator[slice]:
    """Slices of rows that are worked on together."""
    n = max(1, _NUMBERS_AT_ONCE // n_vocab)
    return (slice(start, start + n) for start in range(0, n_rows, n))


def normalized(logits: Floats) -> Normalized:
    """The maximum and the logarithm of the sum of rows of logits, (n, n_vocab); sums are in double."""
    maximum = logits.max(axis=1)
    return Normalized(maximum, np.log(np.exp(logits - maximum[:, None]).sum(axis=1, dtype=np.float64)))


def chosen(rows: Floats, targets: npt.NDArray[np.int32]) -> Floats:
    """The value of each row's target, (n,)."""
    values: Floats = rows[np.arange(len(rows)), targets]
    return values


def negative_log_likelihoods(logits: Floats, targets: npt.NDArray[np.int32]) -> Doubles:
    """-ln of the probability that each row of logits gives to its target, (n,)."""
    result = np.empty(len(logits))
    for rows in row_blocks(*logits.shape):
        block = normalized(logits[rows])
        result[rows] = block.log_sum - (chosen(logits[rows], targets[rows]) - block.maximum)
    return result


def encoded(logits: Floats, targets: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.uint16], Doubles]:
    """Rows of codes, (n, n_code_words), and the -ln of each target's probability, (n,), rounded to floats."""
    n_rows, n_vocab = logits.shape
    words = np.zeros((n_rows, n_code_words(n_vocab)), np.uint16)
    likelihoods = np.empty(n_rows)
    for rows in row_blocks(n_rows, n_vocab):
        block = normalized(logits[rows])
        log_sum = block.log_sum.astype(np.float32)
        least = np.maximum(logits[rows].min(axis=1), block.maximum - _RANGE)
        step = (block.maximum - least) / _MAX_CODE
        inverse = np.divide(1, step, out=np.zeros_like(step), where=step > 0)
        words[rows, :HEAD_WORDS] = np.stack([step, least - block.maximum - log_sum], axis=1).view(np.uint16)
        codes = np.maximum(logits[rows] - least[:, None], 0)
        words[rows, HEAD_WORDS : HEAD_WORDS + n_vocab] = np.rint(np.multiply(codes, inverse[:, None], out=codes))
        likelihoods[rows] = block.maximum + log_sum - chosen(logits[rows], targets[rows])
    return words, likelihoods


def decoded(words: npt.NDArray[np.uint16], n_vocab: int) -> Floats:
    """The logarithms of probabilities, (n, n_vocab), that rows of codes stand for."""
    step, least = words[:, :HEAD_WORDS].copy().view(np.float32).T[:, :, None]
    codes = words[:, HEAD_WORDS : HEAD_WORDS + n_vocab].astype(np.float32)
    np.multiply(codes, step, out=codes)
    np.add(codes, least, out=codes)
    return codes
