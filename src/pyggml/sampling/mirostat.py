"""Mirostat: keep the surprise of the text near a target (Basu et al. 2020, arXiv:2007.14966)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pyggml.sampling.candidates import Candidates, softmax
from pyggml.sampling.float32_math import log, log2, power, sequential_sum
from pyggml.sampling.random import MersenneTwister

N_TOKENS_FOR_ESTIMATE = 100
_LARGEST_INT = 2.0**31

Float32Array = npt.NDArray[np.float32]
CountKept = Callable[[Float32Array, np.float32], int]


class Mirostat:
    """Draws from a number of the most likely tokens that a bound `mu` on the surprise decides.

    After each draw mu moves towards the target, by the learning rate times the difference. The versions differ in
    `count_kept`, which is given the probabilities in descending order and mu.
    """

    def __init__(self, count_kept: CountKept, target_surprise: float, learning_rate: float, seed: int) -> None:
        """Start with mu at twice the target, and the random numbers of this seed."""
        self.description = f"mirostat to {target_surprise:g} bits, learning rate {learning_rate:g}"
        self._count_kept = count_kept
        self._target = np.float32(target_surprise)
        self._learning_rate = np.float32(learning_rate)
        self._mu = np.float32(2) * self._target
        self._random = MersenneTwister(seed)

    def apply(self, candidates: Candidates) -> Candidates:
        """Choose one, and learn from its surprise."""
        logits = candidates.descending_logits()
        n_kept = self._count_kept(softmax(logits, logits[0]), self._mu)
        kept = candidates.first_by_logit(n_kept)
        probabilities = kept.softmax()
        position = self._random.next_index(probabilities)
        surprise = -log2(probabilities[position : position + 1])[0]
        self._mu = np.float32(self._mu - self._learning_rate * (surprise - self._target))
        return kept.choose(position, probabilities)

    def accept(self, token: int) -> None:
        """Do nothing: the draw itself has been learnt from."""

    def reset(self, seed: int) -> None:
        """Forget what was learnt, and start random numbers over."""
        self._mu = np.float32(2) * self._target
        self._random = MersenneTwister(seed)


def count_by_zipf(probabilities: Float32Array, mu: np.float32, n_vocab: int) -> int:
    """Version 1: estimate the exponent of Zipf's law from the most likely, and from it the number to keep."""
    head = probabilities[:N_TOKENS_FOR_ESTIMATE]
    ranks = np.arange(1, len(head), dtype=np.float32)
    rank_ratios = log((ranks + np.float32(1)) / ranks)
    probability_ratios = log(head[:-1] / head[1:])
    exponent = sequential_sum(rank_ratios * probability_ratios) / sequential_sum(rank_ratios * rank_ratios)
    excess = exponent - np.float32(1)
    numerator = excess * power(np.float32(2), mu)
    count = power(numerator / (np.float32(1) - power(np.float32(n_vocab), -excess)), np.float32(1) / exponent)
    # A count that is no int, NaN included, becomes the smallest one on x86, and then 1.
    return min(max(int(count), 1), len(probabilities)) if abs(count) < _LARGEST_INT else 1


def count_by_surprise(probabilities: Float32Array, mu: np.float32) -> int:
    """Version 2: keep the tokens whose own surprise does not exceed mu, at least one."""
    exceeding = -log2(probabilities) > mu
    return max(int(exceeding.argmax()), 1) if exceeding.any() else len(probabilities)
